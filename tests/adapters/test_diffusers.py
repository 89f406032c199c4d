"""Schedulers of diffusers become chains by their steps alone: certified, refuted where a loop is wrong, refused where no chain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exactness_samplers.schedules import cosine_betas, ddpm, edm

import exactness as ex
from exactness.adapters import from_scheduler, sample_loop, sample_pipeline, sample_scheduler
from tests.conftest import module_or_skip
from tests.registry import quiet_plan

# diffusers hands torch tensors to numpy in a way that numpy 2 dislikes.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PLAN = quiet_plan(tolerance=0.2, first_paths=3_000, max_paths=3_000)
SHAPE = (1, 1, 2)


def model(x, t):
    """As good as any network: bounded, not linear, and it looks at the time."""
    return torch.tanh(x + 0.001 * float(t)) * torch.tensor([1.0, 0.5])


SCHEDULERS = {
    "DDPM, clipped by default": ("DDPMScheduler", {}, {}),
    "DDPM, large variance": ("DDPMScheduler", {"variance_type": "fixed_large", "timestep_spacing": "trailing"}, {}),
    "DDPM, a last variance of 1e-20": ("DDPMScheduler", {"steps_offset": 1}, {}),
    "DDPM, thresholded": ("DDPMScheduler", {"thresholding": True, "prediction_type": "v_prediction"}, {}),
    "DDIM, eta 1": ("DDIMScheduler", {}, {"eta": 1.0}),
    "DDIM, eta 0.5": ("DDIMScheduler", {}, {"eta": 0.5}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}, {}),
    "Euler, churned": ("EulerDiscreteScheduler", {}, {"s_churn": 2.0}),
    "SDE-DPM-Solver++, order 1": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 1}, {}),
    "flow matching, stochastic": ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}, {}),
    "consistency": ("LCMScheduler", {}, {}),
}


def scheduler(name, settings):
    return getattr(module_or_skip("diffusers"), name)(**settings)


@pytest.mark.parametrize("which", SCHEDULERS)
def test_a_stochastic_scheduler_is_certified_and_a_loop_that_touches_its_states_refuted(which, seed):
    """Wrong: between steps states are multiplied by 1.05. False alarms: 1e-6 each."""
    name, settings, options = SCHEDULERS[which]
    own = scheduler(name, settings)
    here = {"num_inference_steps": 6, "options": options}
    law = from_scheduler(own, model, SHAPE, **here)
    assert law.event_shape == (7, 2)
    sample = sample_scheduler(own, model, SHAPE, **here)
    judged = ex.certify(sample, law, plan=PLAN, seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert judged.law["name"] == name

    def touched(n, generator, fresh):
        fresh.set_timesteps(6)
        x = torch.randn(n, *SHAPE, generator=generator) * float(getattr(fresh, "init_noise_sigma", 1.0))
        for t in fresh.timesteps:
            inside = fresh.scale_model_input(x, t) if name != "FlowMatchEulerDiscreteScheduler" else x
            x = 1.05 * fresh.step(model(inside, t), t, x, generator=generator, **options)[0]

    wrong = ex.certify(sample_loop(touched, own), law, plan=PLAN, seed=seed)
    assert wrong.verdict is ex.Verdict.REFUTED, wrong.reasons


def test_what_is_read_off_ddpm_is_its_formula():
    """In float64: mean and sigma of every step, against Ho et al. 2020 as written in exactness_samplers.schedules."""
    betas = cosine_betas(12)
    own = scheduler("DDPMScheduler", {"trained_betas": betas, "num_train_timesteps": 12, "clip_sample": False})
    law = from_scheduler(own, model, (2,), num_inference_steps=12, dtype=torch.float64)
    right = ddpm(betas, "small")
    np.testing.assert_allclose(law.sigma, right.sigma, rtol=1e-4)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for k in range(1, 13):
        expected = right.a[k - 1] * x + right.b[k - 1] * model(x, k - 1)
        torch.testing.assert_close(law.mean(k, x), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(law.mean(k, x.numpy()), law.mean(k, x).numpy())


def test_what_is_read_off_euler_ancestral_is_its_formula():
    own = scheduler("EulerAncestralDiscreteScheduler", {})
    law = from_scheduler(own, model, (2,), num_inference_steps=10)
    own.set_timesteps(10)
    np.testing.assert_allclose(law.sigma, edm(own.sigmas.numpy()[::-1].astype(float)).sigma, rtol=1e-4)
    assert law.start == (0.0, float(own.sigmas.max()))


def unet(**settings):
    diffusers = module_or_skip("diffusers")
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        8, 1, 1, down_block_types=["DownBlock2D"], up_block_types=["UpBlock2D"], block_out_channels=[8], layers_per_block=1,
        norm_num_groups=4, **settings,
    )  # fmt: skip


def test_a_pipeline_with_a_unet_is_certified_and_one_of_another_variance_refuted(seed):
    """Refuted: the law's scheduler has the large variance, the pipeline's the small one. False alarms: 1e-6."""
    diffusers = module_or_skip("diffusers")
    net = unet()
    pipeline = diffusers.DDPMPipeline(net, diffusers.DDPMScheduler())
    pipeline.set_progress_bar_config(disable=True)
    own = pipeline.scheduler
    sample = sample_pipeline(pipeline, num_inference_steps=4)
    plan = quiet_plan(tolerance=0.4, first_paths=200, max_paths=200)
    law = from_scheduler(own, net, (1, 8, 8), num_inference_steps=4)
    judged = ex.certify(sample, law, plan=plan, seed=seed)
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
    assert pipeline.scheduler is own
    large = from_scheduler(diffusers.DDPMScheduler(variance_type="fixed_large"), net, (1, 8, 8), num_inference_steps=4)
    assert ex.certify(sample, large, plan=plan, seed=seed).verdict is ex.Verdict.REFUTED


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("DDIMScheduler", {}, "DDIMScheduler draws no noise with these settings: it solves an ODE"),
        ("PNDMScheduler", {}, "solves an ODE"),
        ("DEISMultistepScheduler", {}, "solves an ODE"),
        ("UniPCMultistepScheduler", {}, "solves an ODE"),
        ("HeunDiscreteScheduler", {}, "solves an ODE"),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, "step 3 of .* depends on earlier steps"),
        ("KDPM2AncestralDiscreteScheduler", {}, "depends on earlier steps.*takes 2 evaluations per step; take a solver of first"),
        ("DDIMScheduler", {}, r"With eta=1\.0 its steps make a chain"),
        ("EulerDiscreteScheduler", {}, r'With options={"s_churn": 1\.0}'),
        ("DPMSolverMultistepScheduler", {}, r"algorithm_type='sde-dpmsolver\+\+', solver_order=1\) its steps make a chain"),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, r"\(solver_order=1\) its steps make a chain"),
        ("FlowMatchEulerDiscreteScheduler", {}, r"stochastic_sampling=True\) its steps make a chain"),
        ("SASolverScheduler", {}, r"do not form a chain\. Judge its final images"),
        ("RePaintScheduler", {}, r"step\(\) of RePaintScheduler raised TypeError at step 4"),
        ("DDPMWuerstchenScheduler", {}, r"step\(\) of DDPMWuerstchenScheduler raised"),
        ("HeliosScheduler", {}, r"set_timesteps\(4\) of HeliosScheduler raised"),
        ("DDPMScheduler", {"variance_type": "fixed_large_log"}, "NaN or infinite at timestep 750, step 4"),
        ("EulerAncestralDiscreteScheduler", {"beta_schedule": "squaredcos_cap_v2"}, "NaN or infinite at timestep 999"),
    ],
)
def test_what_makes_no_chain_is_refused_and_the_reason_said(name, settings, message):
    """The last two are bugs of diffusers: #14569, and #14213 (four steps of the cosine schedule)."""
    with pytest.raises(ex.BadInput, match=message):
        from_scheduler(scheduler(name, settings), model, SHAPE, num_inference_steps=4)


def test_advice_never_names_what_a_scheduler_does_not_have():
    for name in ("KDPM2AncestralDiscreteScheduler", "PNDMScheduler", "HeunDiscreteScheduler", "SASolverScheduler"):
        with pytest.raises(ex.BadInput) as told:
            from_scheduler(scheduler(name, {}), model, SHAPE, num_inference_steps=4)
        assert "solver_order" not in str(told.value)
        assert "eta" not in str(told.value).replace("Beta", "")


def learned(x, t, scale=1.0):
    """A mean, and what the scheduler makes variances of: each pixel's depends on the other pixel."""
    return torch.cat([model(x, t), scale * torch.tanh(2.0 * x.flip(-1))], dim=1)


LEARNED = {"learned_range": learned, "learned": lambda x, t: torch.cat([model(x, t), torch.exp(torch.tanh(x.flip(-1)))], dim=1)}


@pytest.mark.parametrize("kind", LEARNED)
def test_learned_variances_make_a_law_by_state(kind, seed):
    """Refuted: the same scheduler with the variances of the other pixel. False alarms: 1e-6 each."""
    own, network = scheduler("DDPMScheduler", {"variance_type": kind}), LEARNED[kind]
    law = from_scheduler(own, network, SHAPE, num_inference_steps=5)
    assert law.spread is not None
    assert law.sigma[0] == 0.0
    sample = sample_scheduler(own, network, SHAPE, num_inference_steps=5)
    for right in (sample, lambda n, s: sample(n, s).numpy()):
        judged = ex.certify(right, law, plan=PLAN, seed=seed)
        assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons

    def other(x, t):
        mean, variance = network(x, t).chunk(2, dim=1)
        return torch.cat([mean, variance.flip(-1)], dim=1)

    wrong = sample_scheduler(own, other, SHAPE, num_inference_steps=5)
    assert ex.certify(wrong, law, plan=PLAN, seed=seed).verdict is ex.Verdict.REFUTED


def test_what_is_read_off_a_learned_variance_is_its_formula():
    """Nichol and Dhariwal 2021, equation 15: the logarithm of the variance lies between those of the two fixed ones."""
    own = scheduler("DDPMScheduler", {"variance_type": "learned_range"})
    small, large = (
        from_scheduler(scheduler("DDPMScheduler", {"variance_type": v}), model, SHAPE, num_inference_steps=4, dtype=torch.float64)
        for v in ("fixed_small", "fixed_large")
    )
    law = from_scheduler(own, learned, SHAPE, num_inference_steps=4, dtype=torch.float64)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for k in range(2, 5):
        share = 0.5 + 0.5 * torch.tanh(2.0 * x.flip(-1))
        expected = torch.exp(share * np.log(large.sigma[k - 1]) + (1.0 - share) * np.log(small.sigma[k - 1]))
        torch.testing.assert_close(law.deviation(k, x), expected, rtol=1e-4, atol=1e-6)


def test_the_model_is_called_once_per_step_though_the_law_asks_twice():
    own, calls = scheduler("DDPMScheduler", {"variance_type": "learned_range"}), []

    def counted(x, t):
        calls.append(len(x))
        return learned(x, t)

    law = from_scheduler(own, counted, SHAPE, num_inference_steps=4)
    paths = sample_scheduler(own, learned, SHAPE, num_inference_steps=4)(10, 0)
    calls.clear()
    list(law.innovations(paths))
    assert calls == [10] * 4
    # Writing into the states makes them other states.
    x = paths[:, 0].clone()
    first = law.mean(4, x)
    x += 1.0
    assert not torch.equal(first, law.mean(4, x))


def test_eta_is_an_argument_and_is_checked(seed):
    """False alarms: 1e-6 each."""
    own = scheduler("DDIMScheduler", {})
    here = {"num_inference_steps": 4}
    law = from_scheduler(own, model, SHAPE, eta=0.7, **here)
    np.testing.assert_array_equal(law.sigma, from_scheduler(own, model, SHAPE, options={"eta": 0.7}, **here).sigma)
    for eta, verdict in ((0.7, ex.Verdict.CERTIFIED), (1.0, ex.Verdict.REFUTED)):
        judged = ex.certify(sample_scheduler(own, model, SHAPE, eta=eta, **here), law, plan=PLAN, seed=seed)
        assert judged.verdict is verdict, judged.reasons
    for eta in (-1.0, 5, "1", True, float("nan")):
        with pytest.raises(ex.BadInput, match="eta must be a number from 0, an ODE, to 1"):
            from_scheduler(own, model, SHAPE, eta=eta, **here)
        with pytest.raises(ex.BadInput, match="eta must be a number from 0, an ODE, to 1"):
            sample_scheduler(own, model, SHAPE, options={"eta": eta}, **here)
    with pytest.raises(ex.BadInput, match="eta was given twice"):
        from_scheduler(own, model, SHAPE, eta=1.0, options={"eta": 1.0}, **here)
    with pytest.raises(ex.BadInput, match=r"step\(\) of DDPMScheduler does not take eta"):
        from_scheduler(scheduler("DDPMScheduler", {}), model, SHAPE, eta=1.0, **here)
    with pytest.raises(ex.BadInput, match=r"does not take etta; .* it takes eta, use_clipped_model_output"):
        from_scheduler(own, model, SHAPE, options={"etta": 1.0}, **here)


def test_whose_exception_it_was_is_said():
    own = scheduler("DDPMScheduler", {})
    for broken, message in (
        (lambda x, t, y: x, r"the model, called as model\(x, t\) with x of shape \(4, 1, 1, 2\) raised TypeError at step 4"),
        (lambda x, t: [], "the model, called .* raised IndexError"),
        (lambda x, t: (3,), "the model must return a tensor.*got int"),
        (lambda x, t: x[..., :1, :1].repeat(1, 1, 3, 3), r"step\(\) of DDPMScheduler raised RuntimeError at step 4"),
    ):
        with pytest.raises(ex.BadInput, match=message):
            from_scheduler(own, broken, SHAPE, num_inference_steps=4)


def test_arguments_in_the_other_order_are_noticed():
    own = scheduler("DDPMScheduler", {})
    with pytest.raises(ex.BadInput, match=r"the other order: sample_loop\(loop, scheduler\)"):
        sample_loop(own, lambda n, generator, fresh: None)
    with pytest.raises(ex.BadInput, match="loop must be a function"):
        sample_loop(3, own)
    with pytest.raises(ex.BadInput, match=r"scheduler must be a scheduler with step\(\)"):
        sample_loop(lambda n, generator, fresh: None, type(own))


def test_dropout_and_strangers_are_refused():
    plain = scheduler("DDPMScheduler", {})
    with pytest.raises(ex.BadInput, match=r"model\.eval\(\)"):
        from_scheduler(plain, lambda x, t: torch.nn.functional.dropout(x), SHAPE, num_inference_steps=4)
    with pytest.raises(ex.BadInput, match=r"has step\(\) and set_timesteps\(\); str has not"):
        from_scheduler("DDPM", model, SHAPE)
    with pytest.raises(ex.BadInput, match="must be callable"):
        from_scheduler(plain, "model", SHAPE)
    with pytest.raises(ex.BadInput, match="shape must be that of one image"):
        from_scheduler(plain, model, (0, 8, 8))


def test_half_precision_nan_and_models_that_mix_a_batch_are_refused():
    own = scheduler("DDPMScheduler", {})
    with pytest.raises(ex.BadInput, match=r"states in torch\.float16 do not hold the noise.*model\.float\(\)"):
        from_scheduler(own, model, SHAPE, num_inference_steps=4, dtype=torch.float16)
    with pytest.raises(ex.BadInput, match=r"states in torch\.bfloat16"):
        from_scheduler(own, torch.nn.Linear(2, 2).bfloat16(), SHAPE, num_inference_steps=4)
    with pytest.raises(ex.BadInput, match="NaN or infinity at pure noise"):
        from_scheduler(own, lambda x, t: x * float("nan"), SHAPE, num_inference_steps=4)
    with pytest.raises(ex.BadInput, match="depends on the other images of its batch"):
        from_scheduler(own, lambda x, t: x - x.mean(0), SHAPE, num_inference_steps=4)


DRAWS = {
    "torch.normal": lambda x: torch.normal(torch.zeros_like(x), 1.0),
    "normal_": lambda x: torch.empty_like(x).normal_(),
    "rand": torch.rand_like,
    "numpy": lambda x: torch.as_tensor(np.random.standard_normal(x.shape), dtype=x.dtype),
}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_noise_that_is_not_randns_is_called_so_and_no_ode(draw, eta):
    module_or_skip("diffusers")
    from diffusers import DDIMScheduler

    class Own(DDIMScheduler):
        def step(self, *arguments, **options):
            first, *rest = super().step(*arguments, **options)
            return first + 0.1 * DRAWS[draw](first), *rest

    state = torch.random.get_rng_state()
    with pytest.raises(ex.BadInput, match=r"step 4 of Own draws noise, but its noise is not torch.randn's"):
        from_scheduler(Own(), model, SHAPE, num_inference_steps=4, options={"eta": eta})
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_is_no_scheduler_shape_number_or_pipeline_is_said():
    own = scheduler("DDPMScheduler", {})
    with pytest.raises(ex.BadInput, match=r"not its class: DDPMScheduler\(\)"):
        from_scheduler(type(own), model, SHAPE)
    with pytest.raises(ex.BadInput, match=r"shape must be that of one image.*got 4"):
        from_scheduler(own, model, 4)
    for steps in (0, 2.5, True):
        with pytest.raises(ex.BadInput, match="num_inference_steps must be an integer of at least 1"):
            from_scheduler(own, model, SHAPE, num_inference_steps=steps)
    with pytest.raises(ex.BadInput, match=r"set_timesteps\(5000\) of DDPMScheduler"):
        from_scheduler(own, model, SHAPE, num_inference_steps=5000)
    with pytest.raises(ex.BadInput, match="as DDPMPipeline; int has not"):
        sample_pipeline(3)


def test_steps_that_clip_their_states_or_draw_twice_are_refused():
    """Neither is known of a scheduler of diffusers; a stranger's may."""
    module_or_skip("diffusers")
    from diffusers import DDPMScheduler

    class Clipped(DDPMScheduler):
        def step(self, *arguments, generator=None, **options):
            return tuple(v.clamp(-1.0, 1.0) for v in super().step(*arguments, generator=generator, **options))

    class Twice(DDPMScheduler):
        def step(self, *arguments, generator=None, **options):
            first, *rest = super().step(*arguments, generator=generator, **options)
            return first + 0.1 * torch.randn(first.shape, generator=generator), *rest

    for kind, message in ((Clipped, "not Gaussian with independent pixels"), (Twice, "draws noise 2 times")):
        with pytest.raises(ex.BadInput, match=message):
            from_scheduler(kind(), model, SHAPE, num_inference_steps=4)


def test_nothing_of_the_users_is_changed():
    own = scheduler("DDPMScheduler", {})
    before, state = own.timesteps.clone(), torch.random.get_rng_state()
    here = own, model, SHAPE
    from_scheduler(*here, num_inference_steps=5)
    sample_scheduler(*here, num_inference_steps=5)(3, 0)
    assert torch.equal(own.timesteps, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_loop_that_takes_no_step_is_invalid():
    own = scheduler("DDPMScheduler", {})
    law = from_scheduler(own, model, SHAPE, num_inference_steps=5)
    judged = ex.certify(sample_loop(lambda n, generator, fresh: None, own), law, plan=PLAN)
    assert judged.verdict is ex.Verdict.INVALID
    assert "never called step()" in judged.reasons[0]
