use burn::tensor::{Device, Tensor, TensorData};

use crate::state::TensorMap;

/// What an optimizer remembers of one parameter, under PyTorch's names. All tensors are flat.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParamState {
    /// Updates made so far.
    pub(crate) steps: u64,
    /// Product of all beta1 so far (Adam).
    pub(crate) beta1_product: Option<f64>,
    /// Velocity of SGD, RMSprop and Muon.
    pub(crate) momentum_buffer: Option<Tensor<1>>,
    /// Running mean of the gradient.
    pub(crate) exp_avg: Option<Tensor<1>>,
    /// Running mean of the squared gradient.
    pub(crate) exp_avg_sq: Option<Tensor<1>>,
    /// Largest running mean of the squared gradient so far (AMSGrad).
    pub(crate) max_exp_avg_sq: Option<Tensor<1>>,
}

// Names of the tensors in files. They are older than the names of the fields, and existing
// checkpoints rely on them.
const MOMENTUM_BUFFER: &str = "velocity";
const EXP_AVG: &str = "mean";
const EXP_AVG_SQ: &str = "square";
const MAX_EXP_AVG_SQ: &str = "square_max";
/// Number of steps and product of beta1, float64. A product of -1 stands for "not used": it cannot
/// occur otherwise.
const COUNTERS: &str = "counters";

impl ParamState {
    /// Names of all tensors that [`save`](Self::save) may write.
    pub(crate) const FIELDS: [&str; 5] = [
        MOMENTUM_BUFFER,
        EXP_AVG,
        EXP_AVG_SQ,
        MAX_EXP_AVG_SQ,
        COUNTERS,
    ];

    /// Adds the state to `map`, each tensor as `path/FIELD`.
    pub(crate) fn save(&self, path: &str, map: &mut TensorMap) {
        let tensors = [
            (MOMENTUM_BUFFER, &self.momentum_buffer),
            (EXP_AVG, &self.exp_avg),
            (EXP_AVG_SQ, &self.exp_avg_sq),
            (MAX_EXP_AVG_SQ, &self.max_exp_avg_sq),
        ];
        for (field, tensor) in tensors {
            if let Some(tensor) = tensor {
                map.insert(format!("{path}/{field}"), tensor.clone().into_data());
            }
        }
        let counters = vec![self.steps as f64, self.beta1_product.unwrap_or(-1.0)];
        map.insert(format!("{path}/{COUNTERS}"), TensorData::new(counters, [2]));
    }

    /// Restores one tensor of [`save`](Self::save). Returns false if `field` is unknown or its data
    /// are malformed.
    pub(crate) fn restore(&mut self, field: &str, data: TensorData, device: &Device) -> bool {
        if field == COUNTERS {
            let mut counters = data.iter::<f64>();
            let (Some(steps), Some(product)) = (counters.next(), counters.next()) else {
                return false;
            };
            self.steps = steps as u64;
            self.beta1_product = (product >= 0.0).then_some(product);
            return true;
        }
        let place = match field {
            MOMENTUM_BUFFER => &mut self.momentum_buffer,
            EXP_AVG => &mut self.exp_avg,
            EXP_AVG_SQ => &mut self.exp_avg_sq,
            MAX_EXP_AVG_SQ => &mut self.max_exp_avg_sq,
            _ => return false,
        };
        let dtype = data.dtype();
        *place = Some(Tensor::from_data(data, (device, dtype)));
        true
    }

    /// The state on another device.
    pub(crate) fn on_device(self, device: &Device) -> Self {
        let transfer = |tensor: Option<Tensor<1>>| tensor.map(|tensor| tensor.to_device(device));
        ParamState {
            momentum_buffer: transfer(self.momentum_buffer),
            exp_avg: transfer(self.exp_avg),
            exp_avg_sq: transfer(self.exp_avg_sq),
            max_exp_avg_sq: transfer(self.max_exp_avg_sq),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of earlier versions use these names.
    #[test]
    fn names_in_files_never_change() {
        let tensor = || Some(Tensor::<1>::from_data([1.0], &Device::flex()));
        let state = ParamState {
            steps: 3,
            beta1_product: None,
            momentum_buffer: tensor(),
            exp_avg: tensor(),
            exp_avg_sq: tensor(),
            max_exp_avg_sq: tensor(),
        };
        let mut map = TensorMap::new();
        state.save("fc.weight", &mut map);
        let names: Vec<&str> = map.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "fc.weight/counters",
                "fc.weight/mean",
                "fc.weight/square",
                "fc.weight/square_max",
                "fc.weight/velocity"
            ]
        );
        let mut restored = ParamState::default();
        for (name, data) in map {
            let field = name.trim_start_matches("fc.weight/");
            assert!(ParamState::FIELDS.contains(&field), "{field}");
            assert!(restored.restore(field, data, &Device::flex()), "{field}");
        }
        assert_eq!((restored.steps, restored.beta1_product), (3, None));
        assert!(restored.max_exp_avg_sq.is_some());
        assert!(!restored.restore("other", TensorData::from([1.0]), &Device::flex()));
    }
}
