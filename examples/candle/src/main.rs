//! The 1cycle policy and its range test with candle: a network with one hidden layer on
//! Fashion-MNIST.
//!
//! 1. A range test trains a throw-away network while the learning rate grows, and suggests a peak.
//! 2. A new network trains for two epochs. Before every update, the plan's values are set in AdamW.

mod fashion_mnist;

use std::error::Error;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{
    AdamW, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear, loss::cross_entropy,
};
use fashion_mnist::Images;
use onecycle::{
    Hyper, OneCycle, Run,
    range_test::{LossCurve, LrSweep, RangeTest, Rule},
};

const EPOCHS: f64 = 2.0;
const BATCH: usize = 128;
const HIDDEN: usize = 256;
const WEIGHT_DECAY: f64 = 0.01;

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::Cpu;
    let train = fashion_mnist::read("train", &device)?;
    let test = fashion_mnist::read("t10k", &device)?;

    let curve = range_test(&train, &device)?;
    let suggestion = Rule::OneCycleMax.apply(&curve);
    let Some(lr_max) = suggestion.lr else {
        return Err(suggestion.verdict.advice().into());
    };
    println!(
        "range test: {} updates, suggested peak {lr_max:.4}",
        curve.len()
    );

    let run = Run::epochs(EPOCHS, train.len(), BATCH).drop_last(true);
    let plan = OneCycle::new(lr_max).weight_decay(WEIGHT_DECAY).plan(&run)?;
    let mut trainer = Trainer::new(&device)?;
    for (step, hyper) in plan.iter() {
        let loss = trainer.loss(&train.batch(step as usize, BATCH)?)?;
        trainer.update(hyper, &loss)?;
        if step % 100 == 0 {
            let loss = loss.to_scalar::<f32>()?;
            println!("step {step:4}: lr {:.5}, loss {loss:.3}", hyper.lr);
        }
    }
    let accuracy = trainer.network.accuracy(&test)?;
    println!(
        "test accuracy after {} steps: {:.1} %",
        plan.steps(),
        100.0 * accuracy
    );
    Ok(())
}

/// The losses of a new network while the learning rate grows from 1e-5 to 1.
fn range_test(train: &Images, device: &Device) -> Result<LossCurve, Box<dyn Error>> {
    let mut trainer = Trainer::new(device)?;
    let base = Hyper {
        weight_decay: Some(WEIGHT_DECAY),
        ..Hyper::new(0.0)
    };
    let test = RangeTest::new(LrSweep::exponential(1e-5, 1.0, 125)?).with_base(base);
    let mut step = 0;
    test.try_run(|hyper| {
        let loss = trainer.loss(&train.batch(step, BATCH)?)?;
        trainer.update(hyper, &loss)?;
        step += 1;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    })
}

/// A new network with its optimizer.
struct Trainer {
    network: Network,
    optimizer: AdamW,
}

impl Trainer {
    fn new(device: &Device) -> candle_core::Result<Self> {
        let variables = VarMap::new();
        let builder = VarBuilder::from_varmap(&variables, DType::F32, device);
        Ok(Trainer {
            network: Network::new(builder)?,
            optimizer: AdamW::new(variables.all_vars(), ParamsAdamW::default())?,
        })
    }

    /// Mean cross-entropy of a batch.
    fn loss(&self, batch: &Images) -> candle_core::Result<Tensor> {
        cross_entropy(&self.network.forward(&batch.pixels)?, &batch.labels)
    }

    /// One update with the given hyper-parameters. AdamW keeps its own values of those that are not
    /// set.
    fn update(&mut self, hyper: Hyper, loss: &Tensor) -> candle_core::Result<()> {
        let own = self.optimizer.params().clone();
        self.optimizer.set_params(ParamsAdamW {
            lr: hyper.lr,
            beta1: hyper.momentum.unwrap_or(own.beta1),
            weight_decay: hyper.weight_decay.unwrap_or(own.weight_decay),
            ..own
        });
        self.optimizer.backward_step(loss)
    }
}

/// 784 pixels, a hidden layer with ReLU, 10 classes.
struct Network {
    hidden: Linear,
    output: Linear,
}

impl Network {
    fn new(builder: VarBuilder<'_>) -> candle_core::Result<Self> {
        Ok(Network {
            hidden: linear(fashion_mnist::PIXELS, HIDDEN, builder.pp("hidden"))?,
            output: linear(HIDDEN, fashion_mnist::CLASSES, builder.pp("output"))?,
        })
    }

    /// Fraction of images that are classified correctly.
    fn accuracy(&self, images: &Images) -> candle_core::Result<f32> {
        let predicted = self.forward(&images.pixels)?.argmax(D::Minus1)?;
        let correct = predicted.eq(&images.labels)?.to_dtype(DType::F32)?;
        correct.mean_all()?.to_scalar()
    }
}

impl Module for Network {
    fn forward(&self, pixels: &Tensor) -> candle_core::Result<Tensor> {
        self.output.forward(&self.hidden.forward(pixels)?.relu()?)
    }
}
