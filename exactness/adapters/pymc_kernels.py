"""Step methods of pymc."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import BadInput, InvalidSample
from ..laws.moves import whole
from .libraries import needs


def pymc_kernel(step: Any, model: Any = None, *, data: str | None = None, steps: int = 1) -> PymcKernel:
    """Make a kernel of independent chains out of a step method of pymc, for ``moved_by`` of a law.

    A row of the law holds the free random variables of the model in their order (``model.free_RVs``), flattened, as the model
    knows them: positive numbers and probabilities are not transformed. Rows are moved one after the other, which takes 50
    microseconds to a few milliseconds each, so plan with some thousand draws. A step method that moves some of the variables keeps
    the others.

    A step method must be frozen: call ``step.stop_tuning()``, because a kernel that tunes itself keeps no law. ``DEMetropolis``
    and ``DEMetropolisZ`` look at other chains and at the past, so they are refused. A compound step, and ``Slice`` in two or more
    dimensions, go through the variables in a fixed order: they are not reversible.

    Args:
        step: a step method, as in ``pm.Metropolis([mu], model=model)``, or a compound of them.
        model: the model; it may be left out inside ``with model:``.
        data: for :class:`exactness.JointLaw`, the name of the ``pm.Data`` that holds an observed array. Leave it out if the law's
            data is a dict, whose keys are such names.
        steps: the number of steps that one move takes.

    Returns:
        ``kernel(x, seed)``, or ``kernel(theta, data, seed)``. It takes and returns (n, d).

    Raises:
        BadInput: if the step method tunes itself or looks at other states than its own, or if the model does not fit.

    Example::

        with pm.Model() as model:
            mu = pm.Normal("mu", 0.0, 1.0)
            pm.Normal("obs", mu, 1.0, observed=pm.Data("y", np.zeros(4)))
            step = pm.Metropolis([mu], tune=False)
        law = ex.JointLaw(prior, simulate)  # mu (n, 1) ~ N(0, 1), and y (n, 4)
        ex.certify(law.moved_by(pymc_kernel(step, model, data="y")), law)
    """
    with needs("pymc"):
        import pymc as pm
    if not callable(getattr(step, "step", None)) or isinstance(step, type):
        raise BadInput(f"give a step method of pymc, as in pm.Metropolis([mu], model=model); got {type(step).__name__}")
    try:
        model = pm.modelcontext(model)
    except TypeError as error:
        raise BadInput("pymc_kernel needs the model: pymc_kernel(step, model), or call it inside `with model:`") from error
    for part in _parts(step):
        name = type(part).__name__
        if hasattr(part, "link_population") or hasattr(part, "_history"):
            raise BadInput(
                f"{name} looks at other chains or at the past, so it is no kernel of one state and keeps no law by itself"
            )
        if getattr(part, "tune", False):
            raise BadInput(
                f"{name} still tunes itself, and a kernel that adapts keeps no law: call step.stop_tuning() first. Scales and step "
                "sizes are then those that it has"
            )
    known = {str(variable.name) for variable in model.data_vars}
    if data is not None and data not in known:
        raise BadInput(f"the model has no pm.Data named {data!r}, which observed= must be given; it has {sorted(known) or 'none'}")
    return PymcKernel(step, model, data, whole("steps", steps))


class PymcKernel:
    """See :func:`pymc_kernel`."""

    def __init__(self, step: Any, model: Any, data: str | None, steps: int) -> None:
        self.step, self.model, self.data, self.steps = step, model, data, steps
        self.shapes = [tuple(int(size) for size in variable.shape.eval()) for variable in model.free_RVs]
        self.sizes = [int(np.prod(shape, dtype=int)) for shape in self.shapes]
        # Some step methods shuffle a list in place. Each call begins with the same one.
        self._state = copy.deepcopy(getattr(step, "sampling_state", None))

    def __call__(self, x: Any, *given: Any) -> np.ndarray:
        """Move states (n, d). ``given`` is the seed, or the data and the seed."""
        states = np.asarray(x)
        if states.ndim != 2 or states.shape[1] != sum(self.sizes):
            listed = ", ".join(f"{v.name} {list(shape)}" for v, shape in zip(self.model.free_RVs, self.shapes, strict=True))
            raise BadInput(
                f"the rows of the law have {states.shape[1:]} numbers, and the model's variables {sum(self.sizes)}: {listed}"
            )
        data = self._named(given[0]) if len(given) > 1 else {}
        if self._state is not None:
            self.step.sampling_state = copy.deepcopy(self._state)
        self.step.set_rng(np.random.default_rng(int(given[-1])))
        moved = np.empty(states.shape)
        # The model is the user's, and keeps its own data.
        own = {name: self.model[name].get_value() for name in data}
        try:
            for i, row in enumerate(states):
                for name, values in data.items():
                    self.model[name].set_value(values[i])
                try:
                    moved[i] = self._move(row)
                except BadInput:
                    raise
                except Exception as error:  # pymc raises where an energy is not finite. That is an outcome of the sampler.
                    raise InvalidSample(f"the step method raised {type(error).__name__} at row {i}: {error}") from error
        finally:
            for name, values in own.items():
                self.model[name].set_value(values)
        return moved

    def _move(self, row: np.ndarray) -> np.ndarray:
        parts = np.split(row, np.cumsum(self.sizes)[:-1])
        there, back = self._maps
        values = there(*(p.reshape(shape) for p, shape in zip(parts, self.shapes, strict=True)))
        point = {v.name: np.asarray(value, dtype=v.dtype) for v, value in zip(self.model.value_vars, values, strict=True)}
        before = point
        for _ in range(self.steps):
            point, _ = self.step.step(point)
        if all(np.array_equal(point[name], before[name]) for name in before):
            # Transforming there and back would change the last digit of a state that did not move.
            return row
        return np.concatenate([np.ravel(part) for part in back(*(point[v.name] for v in self.model.value_vars))])

    @cached_property
    def _maps(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """From the model's variables to the values that step methods move, and back."""
        import pytensor

        model = self.model
        free, value = model.free_RVs, model.value_vars
        given = [v.type() for v in free]
        there = []
        for variable, stand_in in zip(free, given, strict=True):
            transform = model.rvs_to_transforms[variable]
            there.append(stand_in if transform is None else transform.forward(stand_in, *variable.owner.inputs))
        graph = pytensor.graph.replace.graph_replace(there, dict(zip(free, given, strict=True)), strict=False)
        options: dict[str, Any] = {"on_unused_input": "ignore", "allow_input_downcast": True, "mode": "FAST_COMPILE"}
        back = model.replace_rvs_by_values(free)
        return pytensor.function(given, graph, **options), pytensor.function(value, back, **options)

    def _named(self, data: Any) -> dict[str, np.ndarray]:
        known = {str(variable.name) for variable in self.model.data_vars}
        if not isinstance(data, dict):
            if self.data is None:
                raise BadInput(f"say which pm.Data of the model holds the data, as in data='y'; it has {sorted(known) or 'none'}")
            data = {self.data: data}
        if missing := set(data) - known:
            raise BadInput(f"the model has no pm.Data named {sorted(missing)}; it has {sorted(known) or 'none'}")
        return {name: np.asarray(values) for name, values in data.items()}


def _parts(step: Any) -> list[Any]:
    methods = getattr(step, "methods", None)
    return [step] if methods is None else [part for method in methods for part in _parts(method)]
