"""Parsed flags. Extensions add theirs in `preload.py` first."""
from modules import cmd_args, script_loading
from modules.paths_internal import _argv, cmd_opts_pre, extensions_builtin_dir, extensions_dir

parser = cmd_args.parser
for _folder in (extensions_dir, extensions_builtin_dir):
    script_loading.preload_extensions(_folder, parser)
script_loading.preload_extensions("/", parser, extension_list=cmd_opts_pre.minihost_extension)
cmd_opts = parser.parse_known_args(_argv)[0]
cmd_opts.webui_is_non_local = any([cmd_opts.share, cmd_opts.listen, cmd_opts.server_name])
cmd_opts.disable_extension_access = cmd_opts.webui_is_non_local
