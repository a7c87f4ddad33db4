"""amfam-tf: adversarial multimodal fusion with attention for skin lesion pairs.

A research tool, not a medical device. Importing this package is cheap: TensorFlow is imported only
by the modules that need it.
"""

__version__ = "0.1.0"
