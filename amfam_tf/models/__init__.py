"""Networks: AMFAM with its ablations, the compared systems, and the registry."""

from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.models.reads import refuse_unread
from amfam_tf.models.registry import METHODS, Method, create, resolve

__all__ = ["METHODS", "LesionModel", "Method", "create", "refuse_unread", "resolve"]
