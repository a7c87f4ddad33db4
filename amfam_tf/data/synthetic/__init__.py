"""Draws a labelled data set in the layout of Derm7pt, of MILK10k or of any card, to try everything without a real one.

Nothing of a real picture is used. One concept per file: `marginals` and `labels` decide what each case has,
`metadata` the other columns, `lesion` the outline and colour, one file per checklist criterion, `clinical` and
`dermoscopic` the two pictures, `data_set` the files. For any card: `card_parts` says what may stand in a column,
`card_cases` what does, `card_pictures` and `card_tables` where, `marks` shows the labels, `card_set` writes the files.
"""

from amfam_tf.data.synthetic.card_set import Gaps, write_card_set
from amfam_tf.data.synthetic.case import SAMPLES, draw_case
from amfam_tf.data.synthetic.contact_sheet import contact_sheet
from amfam_tf.data.synthetic.data_set import write_data_set
from amfam_tf.data.synthetic.labels import sample_labels
from amfam_tf.data.synthetic.milk10k import write_milk10k

__all__ = [
    "SAMPLES",
    "Gaps",
    "contact_sheet",
    "draw_case",
    "sample_labels",
    "write_card_set",
    "write_data_set",
    "write_milk10k",
]
