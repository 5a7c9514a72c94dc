//! The accounts of an embedded ledger on disk: a file that is whole whenever the process or the machine stops, and that one
//! process has at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use llm_ledger::accounts::Record;
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};

const FILE: &str = "ledger.redb";
/// How the file is laid out, and the records within.
const FORMAT: u64 = 1;
const FORMATS: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
const ACCOUNTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("accounts");

pub(crate) struct Store {
    file: PathBuf,
    /// None since a write failed: what the file says then is read anew.
    database: Option<Database>,
}

/// The record of a key as it is now, or that there is none any more.
pub(crate) type Change = (String, Option<Record>);

impl Store {
    pub(crate) fn open(directory: &Path) -> Result<(Self, Vec<Record>), String> {
        let advice = "name a directory that this process may write";
        let shown = directory.display();
        fs::create_dir_all(directory).map_err(|error| format!("{shown}: {error}: {advice}"))?;
        let mut store = Self { file: directory.join(FILE), database: None };
        let records = store.reopen().map_err(|why| format!("{}: {why}", store.file.display()))?;
        // A file that was made just now is not lost either.
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        for directory in [directory].into_iter().chain(parent) {
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(|error| format!("{}: {error}: {advice}", directory.display()))?;
        }
        Ok((store, records))
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Reads what is there, after a failure too.
    pub(crate) fn reopen(&mut self) -> Result<Vec<Record>, String> {
        self.database = None;
        let database = Database::create(&self.file).map_err(|error| unopened(&error))?;
        let records = records(&database)?;
        self.database = Some(database);
        Ok(records)
    }

    /// All of it is on disk when this returns, or none.
    pub(crate) fn write(&mut self, changes: &[Change]) -> Result<(), String> {
        let Some(database) = &self.database else {
            return Err("an earlier write failed".to_owned());
        };
        let written = write(database, changes);
        if written.is_err() {
            self.database = None;
        }
        written.map_err(|error| format!("{error}: nothing is granted until it can be written"))
    }

    /// Takes back the room of what has been removed.
    pub(crate) fn shrink(&mut self) -> Result<(), String> {
        let shrunk = self.database.as_mut().map_or(Ok(false), Database::compact);
        shrunk.map(|_some| ()).map_err(|error| error.to_string())
    }
}

fn unopened(error: &DatabaseError) -> String {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            "another process has it: give each process a directory of its own".to_owned()
        }
        DatabaseError::UpgradeRequired(_) => other_version("an older one"),
        _ => format!("{error}: name a directory that this process may write, with room on its disk"),
    }
}

fn other_version(which: &str) -> String {
    format!(
        "it was written by another version ({which}) of this program: run that one, or name an empty directory"
    )
}

fn records(database: &Database) -> Result<Vec<Record>, String> {
    let format = read_format(database).map_err(|error| error.to_string())?;
    match format {
        None => {
            let begun = begin(database).map_err(|error| error.to_string());
            begun.map(|()| Vec::new())
        }
        Some(FORMAT) => read_records(database),
        Some(other) => Err(other_version(&format!("format {other}, where this one has {FORMAT}"))),
    }
}

fn read_format(database: &Database) -> Result<Option<u64>, redb::Error> {
    match database.begin_read()?.open_table(FORMATS) {
        Ok(formats) => Ok(formats.get("")?.map(|format| format.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn begin(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(FORMATS)?.insert("", FORMAT)?;
    transaction.open_table(ACCOUNTS)?;
    Ok(transaction.commit()?)
}

fn read_records(database: &Database) -> Result<Vec<Record>, String> {
    let rows = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
        let accounts = database.begin_read()?.open_table(ACCOUNTS)?;
        let rows = accounts.iter()?.map(|row| {
            let (key, record) = row?;
            Ok((key.value().to_owned(), record.value().to_owned()))
        });
        rows.collect()
    };
    let rows = rows().map_err(|error| error.to_string())?;
    let read = |(key, record): (String, Vec<u8>)| {
        serde_json::from_slice(&record).map_err(|error| format!("the account {key}: {error}"))
    };
    rows.into_iter().map(read).collect()
}

fn write(database: &Database, changes: &[Change]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut accounts = transaction.open_table(ACCOUNTS)?;
        for (key, record) in changes {
            match record {
                Some(record) => {
                    let record = serde_json::to_vec(record).map_err(std::io::Error::other)?;
                    accounts.insert(key.as_str(), record.as_slice())?;
                }
                None => _ = accounts.remove(key.as_str())?,
            }
        }
    }
    Ok(transaction.commit()?)
}
