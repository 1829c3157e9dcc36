"""Process reward models: what scores a step, on which criteria, from which part of what has been seen."""
