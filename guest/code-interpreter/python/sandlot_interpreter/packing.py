"""Serialises the messages of the kernel."""

import json

from jupyter_client.jsonutil import json_clean, json_default
from jupyter_client.session import json_packer


def pack(content):
    """Packs JSON like Jupyter, but escapes lone surrogates, which UTF-8 cannot encode and at which Jupyter fails."""
    try:
        return json_packer(content)
    except UnicodeEncodeError:
        return json.dumps(json_clean(content), default=json_default, allow_nan=False).encode()
