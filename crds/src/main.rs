//! Writes every kind's definition into the folder given (default `crds/generated`).

use std::{error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("crds/generated"), PathBuf::from);
    fs::create_dir_all(&folder)?;
    for (file, yaml) in llm_crds::definitions()? {
        fs::write(folder.join(file), yaml)?;
    }
    Ok(())
}
