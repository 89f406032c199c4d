"""How it is judged: batteries turn samples into mergeable evidence, and evidence into tests with stated error rates."""

from .base import Battery, Evidence, Result, standard
from .innovations import Innovations
from .projected_ks import ProjectedKS

__all__ = ["Battery", "Evidence", "Innovations", "ProjectedKS", "Result", "standard"]
