"""ReasonGym: multi-step question answering under bounded working memory, with process rewards, on Gymnasium.

Importing the package registers its ids: `gymnasium.make("ReasonGym-bAbI-v0")`.
"""

from reasongym.registration import register_all

__version__ = "0.1.0"

register_all()
