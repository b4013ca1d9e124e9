//! Writing a bundle: it is there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use comet_engine::explain::masked;
use comet_engine::image::encode_png;
use comet_engine::model::sha256_hex;
use comet_engine::prediction::Explanation;

use super::bundle::{
    BUNDLE_FORMAT, BundleError, BundleInfo, Exhibit, IMAGE, INFO, INPUT, LOGITS, MAP, MAP_VIEW, MASKED,
    OWN_JPEG, SUMS,
};
use crate::monitor::ModelState;

/// Writes a bundle of `exhibit` as a folder `name` below `folder`: it is there as a whole or not at all.
///
/// # Errors
/// A file cannot be written.
pub fn write_bundle(
    folder: &Path,
    name: &str,
    exhibit: &Exhibit<'_>,
    model: &ModelState,
    time: &str,
) -> Result<PathBuf, BundleError> {
    let place = folder.join(name);
    let draft = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_files(&draft, exhibit, model, time)
        .and_then(|()| fs::rename(&draft, &place))
        .and_then(|()| sync_folder(folder));
    if let Err(error) = written {
        // It has failed already; a draft that cannot be removed either changes nothing.
        let _ = fs::remove_dir_all(&draft);
        return Err(BundleError::new(&place, error));
    }
    Ok(place)
}

fn write_files(draft: &Path, exhibit: &Exhibit<'_>, model: &ModelState, time: &str) -> io::Result<()> {
    fs::create_dir_all(draft)?;
    let Explanation { mask, logits, .. } = exhibit.explanation;
    let info = BundleInfo {
        format: BUNDLE_FORMAT,
        program: format!("comet-edge {}", env!("CARGO_PKG_VERSION")),
        processor: std::env::consts::ARCH.to_owned(),
        kernels: model.kernels.clone(),
        model: model.name.clone(),
        model_sha256: model.sha256.clone(),
        precision: model.precision.clone(),
        time: time.to_owned(),
        record: exhibit.record.clone(),
    };
    let mut files = vec![
        (INFO, serde_json::to_vec_pretty(&info)?),
        (IMAGE, encode_png(exhibit.image)?),
        (MAP_VIEW, encode_png(&mask.to_gray8())?),
        (INPUT, bytes(exhibit.input)),
        (MAP, bytes(mask.values())),
        (MASKED, bytes(&masked(exhibit.input, mask))),
        (LOGITS, bytes(logits)),
    ];
    if let Some(jpeg) = exhibit.jpeg {
        files.push((OWN_JPEG, jpeg.to_vec()));
    }
    let mut sums = String::new();
    for (name, contents) in &files {
        write_synced(&draft.join(name), contents)?;
        sums.push_str(&format!("{}  {name}\n", sha256_hex(contents)));
    }
    write_synced(&draft.join(SUMS), sums.as_bytes())?;
    // The draft is unknown to readers before it is renamed, so its names are synced once, for all files.
    sync_folder(draft)
}

fn write_synced(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Little-endian on every machine.
fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
