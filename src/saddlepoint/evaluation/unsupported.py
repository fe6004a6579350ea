"""What another library has under a name, and the shims of its calls have not."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from saddlepoint.errors import InputError


class UnsupportedError(InputError, AttributeError):
    """A name of another library's that is not here: `hasattr` says no.

    >>> issubclass(UnsupportedError, AttributeError)
    True
    """


AUTOATTACK: Mapping[str, str] = MappingProxyType(
    {
        "cheap": 'give version="quick", or set apgd.n_iter and square.n_queries',
        "get_seed": "the seed is the attribute `seed`",
        "logger": "the lines go to log and log_path",
        "is_tf_model": "models are torch.nn.Modules",
        "epsilon": "the budget is `threat.eps`; build another AutoAttack for another one",
        "norm": "the norm is that of `threat`",
        "device": "the model says where it is",
    }
)
"""Names of AutoAttack's, and what to do instead."""

TORCHATTACKS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("eps", "alpha", "steps", "random_start", "decay", "kappa", "lr", "n_restarts"),
            "the settings are those of `attack`, which is frozen; give another attack",
        ),
        "model_name": "the model is `model`",
        "forward": "call the attack itself, atk(images, labels)",
        "get_logits": "call the model",
        "get_output_with_eval_nograd": "call the model",
        "get_target_label": "give the targets to our attack, attack(model, images, labels, targets)",
        "get_least_likely_label": "set_mode_targeted_least_likely takes it",
        "get_random_target_label": "set_mode_targeted_random takes it",
        "to_type": "set_return_type, and save_type of save, say what is returned and written",
        "set_mode_targeted": "set_mode_targeted_by_label, _by_function, _random or _least_likely",
        "check_validity": "run_attack says what is valid of every image",
        "attacks": "several attacks are a suite: evaluate(model, data, threat, suite={…})",
    }
)
"""The same of torchattacks."""

SETTABLE = frozenset(
    {
        *("attack", "model", "seed", "attack_mode", "return_type", "normalization_used", "result"),
        *("_target_of", "_log"),
    }
)
"""What may be set of torchattacks' shim; anything else would change nothing."""
