//! Files of what is expected.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::cases::folder;

#[derive(Default)]
pub struct Expected {
    wrong: Vec<String>,
    seen: BTreeSet<PathBuf>,
}

impl Expected {
    pub fn is(&mut self, name: &str, shown: &str) {
        let file = folder().join("expected").join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, shown).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if shown != expected {
            self.wrong.push(format!("{}:\n{}", file.display(), difference(&expected, shown)));
        }
        self.seen.insert(file);
    }

    /// Also: no file is left of a case that is gone.
    pub fn done(self) {
        assert!(
            self.wrong.is_empty(),
            "UPDATE_GOLDEN=1 rewrites what is expected.\n{}",
            self.wrong.join("\n")
        );
        let folders: BTreeSet<_> = self.seen.iter().filter_map(|file| file.parent()).collect();
        for file in folders.into_iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
            let file = file.unwrap().path();
            assert!(self.seen.contains(&file), "nothing gives {}", file.display());
        }
    }
}

/// From the first line that differs: the rest may have moved.
fn difference(expected: &str, shown: &str) -> String {
    let same = expected.lines().zip(shown.lines()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| text.lines().skip(same).take(8).map(|l| format!("    {l}\n")).collect::<String>();
    format!("  line {}: expected\n{}  but it becomes\n{}", same + 1, from(expected), from(shown))
}
