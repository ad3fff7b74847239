//! Trains LeNet-5 on a sample of Fashion-MNIST, then compares the 1cycle policy with a constant
//! learning rate over three seeds.
//!
//! `cargo run --release -p onecycle-studies --example train_and_compare`
//!
//! On two cores it takes a few seconds. The comparison is kept in `runs/policies`: a second call
//! trains nothing and prints the same result, and `compare.html` there shows it with figures.

use std::{error::Error, path::Path};

use onecycle::{Constant, OneCycle};
use onecycle_studies::compare::Comparison;
use onecycle_train::{
    Config,
    config::{DataConfig, PolicyConfig},
    observer::{Silent, on_epoch},
    train,
};

fn main() -> Result<(), Box<dyn Error>> {
    let with = |policy: PolicyConfig| Config {
        model: "lenet5".to_owned(),
        epochs: Some(3.0),
        batch_size: 32,
        data: DataConfig::named("fashion-mnist").limited(2000, 1000),
        policy,
        ..Config::default()
    };
    let one_cycle = with(OneCycle::new(0.05).into());
    let constant = with(Constant::new(0.02).into());

    let mut progress = on_epoch(|epoch| println!("{epoch}"));
    let trained = train(one_cycle.clone(), &mut progress)?;
    println!("{}\n", trained.summary);

    let comparison = Comparison::new([("1cycle", one_cycle), ("constant", constant)], 3)?;
    // `None` means that the observer asked to stop. `Silent` never does.
    if let Some(result) = comparison.run(Path::new("runs/policies"), &mut Silent)? {
        print!("{result}");
    }
    Ok(())
}
