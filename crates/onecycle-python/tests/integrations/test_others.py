"""timm, Keras 3 and optax."""

import os

import numpy
import pytest

import onecycle

PLAN = onecycle.OneCycle(0.4, weight_decay=0.01).plan(steps=30)


def test_timm():
    timm = pytest.importorskip("timm")
    import timm.scheduler
    import torch

    from onecycle.timm import PlanScheduler

    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr_scale": scale} for scale in (0.5, 1.0)]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    scheduler = PlanScheduler(optimizer, PLAN)
    assert isinstance(scheduler, timm.scheduler.scheduler.Scheduler)
    for update in range(30):
        group = optimizer.param_groups[0]
        assert (group["lr"], group["momentum"], group["weight_decay"]) == (
            PLAN[update].lr / 2,
            PLAN[update].momentum,
            0.01,
        )
        optimizer.step()
        scheduler.step_update(num_updates=update + 1)
        if update % 10 == 9:
            scheduler.step(update // 10 + 1)
    other = PlanScheduler(optimizer, PLAN)
    scheduler.step_update(7)
    other.load_state_dict(scheduler.state_dict())
    assert optimizer.param_groups[1]["lr"] == PLAN[7].lr
    assert scheduler._get_values(7, on_epoch=False) == [PLAN[7].lr / 2, PLAN[7].lr]


def keras_model(keras, optimizer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_keras(backend, tmp_path):
    if os.environ.get("KERAS_BACKEND", "torch") != backend:
        pytest.skip(f"runs with KERAS_BACKEND={backend}")
    os.environ["KERAS_BACKEND"] = backend
    keras = pytest.importorskip("keras")
    from onecycle.keras import PlanCallback, PlanSchedule

    policy = onecycle.OneCycle(0.4, momentum=None)
    plan = policy.plan(steps=20)
    schedule = PlanSchedule(plan)
    for step in (0, 5, 19, 20, 1000):
        assert float(schedule(step)) == pytest.approx(plan.at(step).lr, rel=1e-6)
    inputs, target = numpy.random.rand(40, 4), numpy.random.rand(40, 2)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            optimizer = self.model.optimizer
            seen.append((float(optimizer.learning_rate), getattr(optimizer, "momentum", None)))

    model = keras_model(keras, keras.optimizers.SGD(schedule, momentum=0.9))
    model.fit(inputs, target, batch_size=4, epochs=2, callbacks=[Watch()], verbose=0)
    # After an update, Keras reports the rate of the next.
    assert [lr for lr, _ in seen] == pytest.approx([plan.at(n + 1).lr for n in range(20)], rel=1e-6)
    again = keras.optimizers.SGD.from_config(model.optimizer.get_config(), {"PlanSchedule": PlanSchedule})
    assert float(again._learning_rate(7)) == pytest.approx(plan[7].lr, rel=1e-6)
    with pytest.raises(ValueError, match="PlanCallback"):
        PlanSchedule(PLAN)

    seen.clear()
    cycled = onecycle.OneCycle(0.4)
    model = keras_model(keras, keras.optimizers.SGD(0.1, momentum=0.9))
    callback = PlanCallback(cycled)
    if backend == "torch":
        model.fit(inputs, target, batch_size=4, epochs=2, callbacks=[callback, Watch()], verbose=0)
        assert [momentum for _, momentum in seen] == [hyper.momentum for hyper in callback.plan]
        assert [lr for lr, _ in seen] == pytest.approx(list(callback.plan.lr), rel=1e-6)
    else:
        with pytest.raises(ValueError, match="run_eagerly"):
            model.fit(inputs, target, batch_size=4, epochs=2, callbacks=[callback], verbose=0)


def test_optax():
    jax = pytest.importorskip("jax")
    optax = pytest.importorskip("optax")
    import jax.numpy as jnp

    from onecycle import optax as integration

    plan = onecycle.OneCycle(0.4).plan(steps=30)
    schedule = jax.jit(integration.schedule(plan))
    assert [float(schedule(n)) for n in (0, 13, 29, 99)] == pytest.approx(
        [plan.at(n).lr for n in (0, 13, 29, 99)], rel=1e-6
    )
    optimizer = integration.inject(plan, optax.sgd)
    parameters = jnp.ones(2)
    state = optimizer.init(parameters)
    update = jax.jit(lambda parameters, state: optimizer.update(parameters, state, parameters))
    for hyper in plan:
        updates, state = update(parameters, state)
        assert float(state.hyperparams["learning_rate"]) == pytest.approx(hyper.lr, rel=1e-6)
        assert float(state.hyperparams["momentum"]) == pytest.approx(hyper.momentum, rel=1e-6)
        parameters = optax.apply_updates(parameters, updates)
    decayed = integration.inject(PLAN, optax.adamw)
    state = decayed.init(parameters)
    assert float(state.hyperparams["weight_decay"]) == pytest.approx(0.01) and float(
        state.hyperparams["b1"]
    ) == pytest.approx(0.95)
    with pytest.raises(ValueError, match="takes none"):
        integration.inject(PLAN, optax.sgd)


def test_optax_schedules():
    """Our clones and optax's own schedules in the same process, in float64."""
    jax = pytest.importorskip("jax")
    optax = pytest.importorskip("optax")
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        theirs = optax.cosine_onecycle_schedule(97, 0.4)
        plan = onecycle.OptaxCosineOnecycle(97, 0.4).plan(steps=97)
        assert [hyper.lr for hyper in plan] == pytest.approx([float(theirs(n)) for n in range(97)], rel=1e-12)
