//! Writes every kind's definition into the folders given. Default: where people apply them from, and the chart, which
//! reads no file outside of itself.

use std::{error::Error, fs, path::PathBuf};

const FOLDERS: [&str; 2] = ["crds/generated", "charts/llm-gateway/crds"];

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let folders = if given.is_empty() { FOLDERS.map(PathBuf::from).into() } else { given };
    for folder in folders {
        fs::create_dir_all(&folder)?;
        for (file, yaml) in llm_crds::files()? {
            fs::write(folder.join(file), yaml)?;
        }
    }
    Ok(())
}
