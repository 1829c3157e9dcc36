"""ReasonGym: multi-step question answering under bounded working memory, with process rewards, on Gymnasium."""

__version__ = "0.1.0"
