"""<name:arg:arg> in prompts: parsed out of the text and handed to the network registered under that name."""
import re
from collections import defaultdict

from modules import errors

extra_network_registry = {}
extra_network_aliases = {}
_TAG = re.compile(r"<(\w+):([^>]+)>")


def initialize():
    extra_network_registry.clear()
    extra_network_aliases.clear()


def register_extra_network(extra_network):
    extra_network_registry.update({extra_network.name: extra_network})


def register_extra_network_alias(extra_network, alias):
    extra_network_aliases.update({alias: extra_network})


def register_default_extra_networks():
    from modules._lora import ExtraNetworkLora

    register_extra_network(ExtraNetworkLora())


class ExtraNetworkParams:
    def __init__(self, items=None):
        self.items = items or []
        self.positional, self.named = [], {}
        for item in self.items:
            name, equals, value = item.partition("=") if isinstance(item, str) else (item, "", None)
            if equals:
                self.named[name] = value
            else:
                self.positional.append(item)

    def __eq__(self, other):
        return self.items == other.items


class ExtraNetwork:
    def __init__(self, name):
        self.name = name

    def activate(self, p, params_list):
        """Called in every batch, also with an empty list, which undoes what the call before did."""
        raise NotImplementedError

    def deactivate(self, p):
        raise NotImplementedError


def lookup_extra_networks(extra_network_data):
    found = {}
    for name, args in (extra_network_data or {}).items():
        network = extra_network_registry.get(name) or extra_network_aliases.get(name)
        if network is not None:
            found.setdefault(network, []).extend(args)
    return found


def activate(p, extra_network_data):
    wanted = lookup_extra_networks(extra_network_data)
    for network in [*wanted, *(other for other in extra_network_registry.values() if other not in wanted)]:
        try:
            network.activate(p, wanted.get(network, []))
        except Exception as error:
            errors.display(error, f"activating {network.name}")
    if p.scripts is not None:
        p.scripts.after_extra_networks_activate(p, batch_number=p.iteration, prompts=p.prompts, seeds=p.seeds, subseeds=p.subseeds,
                                                extra_network_data=extra_network_data)


def deactivate(p, extra_network_data):
    for network in {**lookup_extra_networks(extra_network_data), **dict.fromkeys(extra_network_registry.values())}:
        try:
            network.deactivate(p)
        except Exception as error:
            errors.display(error, f"deactivating {network.name}")


def parse_prompt(prompt):
    """(the prompt without tags, {name: [ExtraNetworkParams]})."""
    data = defaultdict(list)
    for match in _TAG.finditer(prompt):
        data[match.group(1)].append(ExtraNetworkParams(items=match.group(2).split(":")))
    return _TAG.sub("", prompt), data


def parse_prompts(prompts):
    """All prompts without tags, and the tags of the first."""
    parsed = [parse_prompt(prompt) for prompt in prompts]
    return [text for text, _ in parsed], parsed[0][1] if parsed else None
