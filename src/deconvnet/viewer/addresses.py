"""Where the pages of an atlas lie: addresses that stay the same when the atlas is built again.

Each is a path from the root of the site, of letters that need no quoting in an address and no escaping on a disk. They
follow from the names of layers and photos, so the same unit has the same address in another atlas of the network.
"""

from deconvnet.atlas.store import Kind, safe_name

NETWORK = "index.html"
SEARCH = "search.js"
STATIC = "static"
FOLDERS = ("layers", "maps", "photos", "pictures", STATIC)
"""Of all pages but those at the root, of the pictures, and of scripts and styles."""


def layer_address(layer: str) -> str:
    """Of a layer's page."""
    return f"layers/{safe_name(layer)}.html"


def map_address(layer: str, channel: int) -> str:
    """Of a feature map's page."""
    return f"maps/{safe_name(layer)}/{channel}.html"


def photo_address(image: str) -> str:
    """Of a photo's page."""
    return f"photos/{safe_name(image)}.html"


def strip_address(layer: str, channel: int, kind: Kind) -> str:
    """Of the strip of a feature map's signals or patches."""
    return f"pictures/{safe_name(layer)}/{channel}.{kind}.webp"


def table_address(page: str) -> str:
    """Of the table that belongs to a page with a grid."""
    return f"{page.removesuffix('.html')}.js"


def root_from(page: str) -> str:
    """The root of the site as a page of this address names it."""
    return "../" * page.count("/")
