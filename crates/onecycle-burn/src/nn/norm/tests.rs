use super::*;
use burn::tensor::DType;

/// The channel holds 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased variance 14/3.
#[test]
fn statistics_are_those_of_pytorch() {
    let device = Device::flex().autodiff();
    let norm = BatchNorm2d::new(1, &device);
    let input = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 6.0]]]], &device);
    let output = norm.forward(input).into_data();
    let root = (3.5f64 + 1e-5).sqrt();
    for (got, value) in output.iter::<f64>().zip([1.0, 2.0, 3.0, 6.0]) {
        assert!((got - (value - 3.0) / root).abs() < 1e-6);
    }
    let read =
        |state: &RunningState<Tensor<1>>| -> f64 { state.value().into_data().iter::<f64>().sum() };
    assert!((read(&norm.running_mean) - 0.3).abs() < 1e-6);
    assert!((read(&norm.running_var) - (0.9 + 0.1 * 14.0 / 3.0)).abs() < 1e-6);
}

#[test]
fn evaluation_uses_running_statistics() {
    let norm = BatchNorm2d::new(2, &Device::flex());
    let values = vec![0.5f32, -1.0, 2.0, 4.0];
    let input = Tensor::<4>::from_data(
        TensorData::new(values.clone(), [1, 2, 1, 2]),
        &Device::flex(),
    );
    // Mean 0 and variance 1: only epsilon has an effect.
    for (got, value) in norm.forward(input).into_data().iter::<f64>().zip(values) {
        assert!((got - f64::from(value) / (1.0f64 + 1e-5).sqrt()).abs() < 1e-6);
    }
}

/// Five images in ghost batches of two: outputs and gradients equal those of three layers that
/// get two, two and one of the images. The running statistics are the weighted mean of theirs.
#[test]
fn ghost_batches_are_normalised_separately() {
    let device = Device::flex().autodiff();
    let values: Vec<f32> = (0..5 * 2 * 3 * 3)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0)
        .collect();
    let images = |range: std::ops::Range<usize>| {
        let part = values[range.start * 18..range.end * 18].to_vec();
        let data = TensorData::new(part, [range.len(), 2, 3, 3]);
        Tensor::<4>::from_data(data, &device).require_grad()
    };
    // Weights that differ, so that gradients do not cancel.
    let loss = |output: Tensor<4>| (output.clone() * output.clone() * output).sum();
    let read = |tensor: Tensor<4>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
    let state = |state: &RunningState<Tensor<1>>| {
        let data = state.value().into_data();
        data.iter::<f64>().collect::<Vec<_>>()
    };

    let (identity, relu) = (Activation::Identity, Activation::Relu);
    for (activation, by_burn) in [
        (identity, false),
        (relu, false),
        (identity, true),
        (relu, true),
    ] {
        let mut ghosts = BatchNorm2d::new(2, &device);
        ghosts.ghost_batch = 2;
        let whole = images(0..5);
        let epilogue = |residual: &Tensor<4>| Epilogue {
            residual: Some(residual.clone()),
            activation,
        };
        let output = match by_burn {
            false => ghosts.apply(whole.clone(), epilogue(&whole)),
            true => ghosts.track(ghosts.normalise_by_burn(whole.clone(), epilogue(&whole))),
        };
        let grads = loss(output.clone()).backward();
        let (got, got_grad) = (read(output), read(whole.grad(&grads).expect("a gradient")));

        let (mut known, mut known_grad) = (vec![], vec![]);
        let (mut mean, mut variance) = ([0.0; 2], [0.0; 2]);
        for range in [0..2, 2..4, 4..5] {
            let norm = BatchNorm2d::new(2, &device);
            let share = range.len() as f64 / 5.0;
            let part = images(range);
            let output = norm.apply(part.clone(), epilogue(&part));
            let grads = loss(output.clone()).backward();
            known.extend(read(output));
            known_grad.extend(read(part.grad(&grads).expect("a gradient")));
            for c in 0..2 {
                mean[c] += share * state(&norm.running_mean)[c];
                variance[c] += share * state(&norm.running_var)[c];
            }
        }
        let pairs = [
            (got, known),
            (got_grad, known_grad),
            (state(&ghosts.running_mean), mean.to_vec()),
            (state(&ghosts.running_var), variance.to_vec()),
        ];
        for (got, known) in pairs {
            assert_eq!(got.len(), known.len());
            for (got, known) in got.iter().zip(&known) {
                // Burn's operations round differently from the kernels, which compute the
                // expected values.
                let most = if by_burn {
                    1e-5 * known.abs().max(1.0)
                } else {
                    1e-5
                };
                assert!((got - known).abs() < most, "{got} for {known}");
            }
        }
    }
}

/// Three images of one pixel in ghost batches of two, in single and double precision. The last
/// ghost batch has one value, so the running variance takes only that of the first: 8.
#[test]
fn a_ghost_batch_of_one_value_is_left_out_of_the_running_variance() {
    let device = Device::flex().autodiff();
    for dtype in [DType::F32, DType::F64] {
        let one = |value: f64| Tensor::<1>::from_data(TensorData::from([value]), (&device, dtype));
        let norm = BatchNorm2d {
            weight: Param::from_tensor(one(1.0)),
            bias: Param::from_tensor(one(0.0)),
            running_mean: RunningState::new(one(0.0)),
            running_var: RunningState::new(one(1.0)),
            ghost_batch: 2,
            epsilon: 1e-5,
            momentum: 0.1,
            scale: true,
            training: Param::from_bool(true),
        };
        let data = TensorData::from([[[[1.0f64]]], [[[5.0]]], [[[9.0]]]]);
        let output = norm.forward(Tensor::from_data(data, (&device, dtype)));
        assert_eq!(output.dtype(), dtype);
        let read = |state: &RunningState<Tensor<1>>| -> f64 {
            state.value().into_data().iter::<f64>().sum()
        };
        // Mean (2 · 3 + 9) / 3 = 5.
        assert!((read(&norm.running_mean) - 0.5).abs() < 1e-6);
        let variance = read(&norm.running_var);
        assert!((variance - (0.9 + 0.1 * 8.0)).abs() < 1e-6, "{variance}");
    }
}

#[test]
fn ghost_batches_of_one_value_keep_the_running_variance() {
    let device = Device::flex().autodiff();
    let mut norm = BatchNorm2d::new(1, &device);
    norm.ghost_batch = 1;
    norm.forward(Tensor::<4>::from_data([[[[5.0]]], [[[7.0]]]], &device));
    let variance: Vec<f64> = norm.running_var.value().into_data().iter::<f64>().collect();
    assert_eq!(variance, [1.0]);
}

#[test]
fn a_single_value_per_channel_keeps_the_running_variance() {
    let device = Device::flex().autodiff();
    let norm = BatchNorm2d::new(1, &device);
    norm.forward(Tensor::<4>::from_data([[[[5.0]]]], &device));
    let variance: Vec<f64> = norm.running_var.value().into_data().iter::<f64>().collect();
    assert_eq!(variance, [1.0]);
}

/// The channel holds 1, 2, 3, 6 as above. A new batch weighs 0.4.
#[test]
fn epsilon_and_momentum_are_those_of_the_shape() {
    let device = Device::flex().autodiff();
    let shape = NormShape {
        epsilon: 0.5,
        momentum: 0.4,
        ..NormShape::new(1)
    };
    let norm = BatchNorm2d::with(shape, &device);
    let input = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 6.0]]]], &device);
    let check = |output: Tensor<4>, mean: f64, variance: f64| {
        let root = (variance + 0.5).sqrt();
        let output = output.into_data();
        for (got, value) in output.iter::<f64>().zip([1.0, 2.0, 3.0, 6.0]) {
            let known = (value - mean) / root;
            assert!((got - known).abs() < 1e-6, "{got} for {known}");
        }
    };
    check(norm.forward(input.clone()), 3.0, 3.5);
    // Evaluation, with gradients and without.
    let (mean, variance) = (0.4 * 3.0, 0.6 + 0.4 * 14.0 / 3.0);
    check(norm.clone().freeze().forward(input.clone()), mean, variance);
    let plain = input.without_autodiff();
    check(norm.valid().forward(plain), mean, variance);
}

/// A layer without scale computes the same as one with scale 1, keeps the tensor, and never gets a
/// gradient for it, also after copies and after `unfreeze`.
#[test]
fn a_layer_without_scale_has_no_gradient_for_it() {
    let device = Device::flex().autodiff();
    let shape = NormShape {
        scale: false,
        ..NormShape::new(3)
    };
    let values: Vec<f32> = (0..2 * 3 * 4).map(|i| (i as f32 * 0.7).sin()).collect();
    let data = TensorData::new(values, [2, 3, 2, 2]);
    let run = |norm: &BatchNorm2d| {
        let x = Tensor::<4>::from_data(data.clone(), &device).require_grad();
        let output = norm.forward_gelu(x.clone());
        let grads = (output.clone() * output.clone()).sum().backward();
        let dx = x.grad(&grads).expect("a gradient");
        let bias = norm.bias.val().grad(&grads).expect("a gradient");
        let scale = norm.weight.val().grad(&grads);
        (
            [output.into_data(), dx.into_data(), bias.into_data()],
            scale.is_some(),
        )
    };
    let (known, has_gradient) = run(&BatchNorm2d::new(3, &device));
    assert!(has_gradient);
    let norm = BatchNorm2d::with(shape, &device);
    for norm in [
        norm.clone(),
        norm.valid().train(),
        norm.clone().freeze().unfreeze(),
    ] {
        assert_eq!(run(&norm), (known.clone(), false));
        let names = crate::state::weights(&norm).into_keys().collect::<Vec<_>>();
        assert_eq!(names, ["bias", "running_mean", "running_var", "weight"]);
    }
    assert!(!norm.weight.val().is_require_grad());
    assert!(!norm.valid().train().weight.val().is_require_grad());
}
