use std::fs;
use std::path::{Path, PathBuf};

use granule_models::{StateDict, TensorValue};

/// The model's tensors in a checkpoint.
pub fn model_in(path: &Path) -> StateDict {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter().filter_map(|(name, view)| {
        let (words, _) = view.data().as_chunks::<4>();
        let value = TensorValue {
            shape: view.shape().to_vec(),
            data: words.iter().map(|word| f32::from_le_bytes(*word)).collect(),
        };
        Some((name.strip_prefix("model/")?.to_owned(), value))
    });
    StateDict(tensors.collect())
}

/// Where the checkpoint after so many steps lies.
pub fn step_checkpoint(run_dir: &Path, step: u64) -> PathBuf {
    run_dir.join(format!("checkpoints/step-{step:08}.ckpt"))
}
