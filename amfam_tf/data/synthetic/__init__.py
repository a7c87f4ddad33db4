"""Draws a labelled data set in the layout of Derm7pt, so that everything can be tried without the real one.

Nothing of a real picture is used. One concept per file: `marginals` and `labels` decide what each case has,
`metadata` the other columns, `lesion` the outline and colour, one file per checklist criterion, `clinical` and
`dermoscopic` the two pictures, `data_set` the files.
"""

from amfam_tf.data.synthetic.case import draw_case
from amfam_tf.data.synthetic.contact_sheet import contact_sheet
from amfam_tf.data.synthetic.data_set import write_data_set
from amfam_tf.data.synthetic.labels import sample_labels
from amfam_tf.data.synthetic.milk10k import write_milk10k

__all__ = ["contact_sheet", "draw_case", "sample_labels", "write_data_set", "write_milk10k"]
