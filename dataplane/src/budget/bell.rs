//! What can't wait until the keeper looks again: it is rung, and says at which lines to look.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::Ordering::{AcqRel, Release},
};

use tokio::sync::Notify;

use super::line::Line;

/// The bell.
#[derive(Debug, Default)]
pub struct Bell {
    lines: Mutex<Vec<Arc<Line>>>,
    rung: Notify,
}

impl Bell {
    /// The keeper is to look at this line.
    pub fn ring(&self, line: &Arc<Line>) {
        if !line.rung.swap(true, AcqRel) {
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
            self.rung.notify_one();
        }
    }

    /// The lines for which it was rung, once there are any.
    pub async fn lines(&self) -> Vec<Arc<Line>> {
        loop {
            let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
            if lines.is_empty() {
                self.rung.notified().await;
                continue;
            }
            // Who rings from now on means to have it looked at again.
            lines.iter().for_each(|line| line.rung.store(false, Release));
            return lines;
        }
    }
}
