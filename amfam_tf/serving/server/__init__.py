"""The embedded server: the gRPC and REST behaviour of TensorFlow Serving in one Python process.

Imports TensorFlow: import it only inside the verb that serves.
"""

from amfam_tf.serving.server.options import ServerOptions
from amfam_tf.serving.server.process import Server
from amfam_tf.serving.server.status import ServerError

__all__ = ["Server", "ServerError", "ServerOptions"]
