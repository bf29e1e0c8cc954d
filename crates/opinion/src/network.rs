//! The models themselves, as candle computes them.

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, ops::softmax_last_dim};
use candle_transformers::models::{
    debertav2::DebertaV2SeqClassificationModel, modernbert::ModernBertForSequenceClassification,
};

use crate::{
    Error,
    config::{Config, Kind},
    folder::{Folder, WEIGHTS},
};

pub(crate) enum Network {
    Deberta(Box<DebertaV2SeqClassificationModel>),
    ModernBert(Box<ModernBertForSequenceClassification>),
}

impl Network {
    /// Weights of 16 bits are widened: processors compute with 32.
    pub(crate) fn load(
        folder: &Folder,
        config: &Config,
        weights: Vec<u8>,
    ) -> Result<Network, Error> {
        let failed = |source| Error::Weights { path: folder.file(WEIGHTS), source };
        let tensors = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)
            .map_err(failed)?;
        Ok(match &config.kind {
            Kind::Deberta(config) => {
                let tensors = tensors.pp("deberta");
                let model = DebertaV2SeqClassificationModel::load(tensors, config, None);
                Network::Deberta(Box::new(model.map_err(failed)?))
            }
            Kind::ModernBert(config) => {
                // candle takes a layer without it for one that has none, as only the first may be.
                for n in 1..config.num_hidden_layers {
                    let name = format!("model.layers.{n}.attn_norm.weight");
                    tensors.get(config.hidden_size, &name).map_err(failed)?;
                }
                let model = ModernBertForSequenceClassification::load(tensors, config);
                Network::ModernBert(Box::new(model.map_err(failed)?))
            }
        })
    }

    /// One for each label; they add up to 1.
    pub(crate) fn probabilities(&self, tokens: &[u32]) -> Result<Vec<f64>, Error> {
        let computed = self.compute(tokens).map_err(Error::Compute)?;
        let probabilities: Vec<f64> = computed.into_iter().map(f64::from).collect();
        let is_sound = probabilities.iter().all(|it| (0.0..=1.0).contains(it));
        if is_sound { Ok(probabilities) } else { Err(Error::NoProbability) }
    }

    /// Window by window: windows together would need padding, and as much more memory.
    fn compute(&self, tokens: &[u32]) -> candle_core::Result<Vec<f32>> {
        let tokens = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        let mask = tokens.ones_like()?;
        let probabilities = match self {
            Network::Deberta(model) => {
                softmax_last_dim(&model.forward(&tokens, None, Some(mask))?)?
            }
            // Which ends in a softmax.
            Network::ModernBert(model) => model.forward(&tokens, &mask)?,
        };
        probabilities.squeeze(0)?.to_vec1()
    }
}
