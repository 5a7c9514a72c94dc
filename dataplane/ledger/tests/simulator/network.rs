//! Messages on their way: late, lost, doubled, and overtaking each other.

use llm_ledger::account::{Answer, Beginning, Checkpoint, Statement, Totals};
use llm_ledger::{Amount, Epoch, Holder, Millis};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Accounts and ledgers are told by their places in the world's lists.
#[derive(Clone, Debug)]
pub enum Message {
    State {
        from: usize,
        ledger: usize,
        account: usize,
        statement: Statement,
    },
    Answer {
        to: usize,
        holder: Holder,
        account: usize,
        answer: Answer,
    },
    /// An operator asks, and is told; by the number of what it asked.
    Ask {
        from: usize,
        ledger: usize,
        number: u64,
        request: Request,
    },
    Tell {
        to: usize,
        number: u64,
        reply: Reply,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// How all accounts stand.
    Look,
    Open(Epoch),
    Begin(usize, Beginning),
    Secure(usize, Checkpoint),
}

#[derive(Clone, Debug)]
pub enum Reply {
    Standing(Vec<Option<Totals>>),
    Opened(Option<Millis>),
    Done(bool),
    Secured(usize, Option<Amount>),
}

pub struct Network {
    /// By the time at which they arrive.
    under_way: BinaryHeap<Reverse<(Millis, usize)>>,
    messages: Vec<Message>,
    faulty: bool,
    pub lost: u64,
    pub doubled: u64,
    /// Whose sender may have given up on them.
    pub late: u64,
}

impl Network {
    pub fn new(faulty: bool) -> Self {
        Self { under_way: BinaryHeap::new(), messages: Vec::new(), faulty, lost: 0, doubled: 0, late: 0 }
    }

    pub fn send(&mut self, now: Millis, message: &Message, rng: &mut fastrand::Rng) {
        let copies = match (self.faulty, rng.u8(..100)) {
            (true, 0..10) => 0,
            (true, 10..20) => 2,
            _ => 1,
        };
        self.lost += u64::from(copies == 0);
        self.doubled += u64::from(copies == 2);
        for _ in 0..copies {
            // Most are quick; some come after their sender has given up on them.
            let delay = match (self.faulty, rng.u8(..16)) {
                (true, 0) => rng.u64(40..2_000),
                (true, 1) => rng.u64(40..6_000),
                _ => rng.u64(0..20),
            };
            self.late += u64::from(delay >= 40);
            self.under_way.push(Reverse((now + delay, self.messages.len())));
            self.messages.push(message.clone());
        }
    }

    /// The next that has arrived.
    pub fn arrived(&mut self, now: Millis) -> Option<Message> {
        let Reverse((at, index)) = *self.under_way.peek()?;
        if at > now {
            return None;
        }
        self.under_way.pop();
        Some(std::mem::replace(&mut self.messages[index], Message::GONE))
    }
}

impl Message {
    /// What has been delivered.
    const GONE: Self = Self::Tell { to: usize::MAX, number: 0, reply: Reply::Done(false) };
}
