"""The weights of `onecycle weights get efficientnet-lite0` for timm's `tf_efficientnet_lite0`."""

import safetensors.torch
import timm


def weights(path):
    """State of timm's network. The parameters in the file have other names; layer by layer, the order is the same."""
    state = safetensors.torch.load_file(path)
    network = timm.create_model("tf_efficientnet_lite0")
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    parts = {"_conv_stem": 0, "_bn0": 1, "_blocks": 2, "_conv_head": 3, "_bn1": 4, "_fc": 5}
    layers = {"_expand_conv": 0, "_bn0": 1, "_depthwise_conv": 2, "_bn1": 3, "_project_conv": 4, "_bn2": 5}
    values = {"weight": 0, "bias": 1, "running_mean": 2, "running_var": 3}

    def position(name):
        first, *rest = name.split(".")
        if first == "_blocks":
            number, layer, value = rest
            return parts[first], int(number), layers[layer], values[value]
        return parts[first], 0, 0, values[rest[0]]

    theirs = sorted((name for name in state if not name.endswith("num_batches_tracked")), key=position)
    if len(names) != len(theirs):
        raise SystemExit(f"{path}: {len(theirs)} parameters instead of {len(names)}")
    return {ours: state[name] for ours, name in zip(names, theirs)}


def fill(network, state):
    """Gives a network its parameters, or ends with the names that do not fit."""
    missing, unexpected = network.load_state_dict(state, strict=False)
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + unexpected
    if wrong:
        raise SystemExit(f"parameters that do not fit: {wrong}")
