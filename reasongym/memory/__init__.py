"""The working memory: its operations, its gates, and the utility of what it holds."""
