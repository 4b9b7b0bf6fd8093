"""Command-line flags, added before the WebUI starts."""


def preload(parser):
    parser.add_argument("--pia-dir", type=str, default=None, help="folder with PIA models (default: models/PIA)")
