"""Adapters: the suite in the shapes that other libraries expect. Each imports its library when it is imported itself."""
