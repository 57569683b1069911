"""The gallery: a directory of embeddings that says whose they are and who made them.

`gallery.json` names the model and the blocks; `blocks/` holds them.
"""

from ckda_jax.retrieval.gallery.blocks import Entry as Entry
from ckda_jax.retrieval.gallery.index import Maker as Maker
from ckda_jax.retrieval.gallery.search import Answer as Answer
from ckda_jax.retrieval.gallery.search import Gallery as Gallery
from ckda_jax.retrieval.gallery.search import open_gallery as open_gallery
from ckda_jax.retrieval.gallery.writer import Writer as Writer
