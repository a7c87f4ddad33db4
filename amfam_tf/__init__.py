"""amfam-tf: adversarial multimodal fusion with attention for skin lesion pairs.

A research tool, not a medical device. Importing this package is cheap: TensorFlow is imported only
by the modules that need it. Keras is then as `amfam_tf.own_keras` says, whatever its settings file says.
"""

from amfam_tf import own_keras

__version__ = "0.1.0"

own_keras.settle()
