//! Messages on their way: late, lost, doubled, and overtaking each other.

use llm_ledger::account::{Answer, Statement};
use llm_ledger::{Amount, Epoch, Holder, Millis};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    Ledger,
    Proxy(usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Message {
    State { from: usize, statement: Statement },
    Answer { holder: Holder, answer: Answer },
    Secure { epoch: Epoch, limit: (Amount, u64), ceiling: Amount },
    Begin { epoch: Epoch, ceiling: Amount },
}

pub struct Network {
    /// By the time at which they arrive.
    under_way: BinaryHeap<Reverse<(Millis, usize)>>,
    messages: Vec<(To, Message)>,
    faulty: bool,
}

impl Network {
    pub fn new(faulty: bool) -> Self {
        Self { under_way: BinaryHeap::new(), messages: Vec::new(), faulty }
    }

    pub fn send(&mut self, now: Millis, to: To, message: Message, rng: &mut fastrand::Rng) {
        let copies = match (self.faulty, rng.u8(..100)) {
            (true, 0..10) => 0,
            (true, 10..15) => 2,
            _ => 1,
        };
        for _ in 0..copies {
            // Most are quick; some come after their sender has given up on them.
            let late = self.faulty && rng.u8(..8) == 0;
            let delay = if late { rng.u64(40..2_000) } else { rng.u64(0..20) };
            self.under_way.push(Reverse((now + delay, self.messages.len())));
            self.messages.push((to, message));
        }
    }

    /// The next that has arrived.
    pub fn arrived(&mut self, now: Millis) -> Option<(To, Message)> {
        let Reverse((at, index)) = *self.under_way.peek()?;
        if at > now {
            return None;
        }
        self.under_way.pop();
        Some(self.messages[index])
    }

    /// A connection that broke: what the checkpoint had sent over it does not come out of another one.
    pub fn break_checkpoints(&mut self) {
        let messages = &self.messages;
        self.under_way.retain(|Reverse((_, index))| {
            !matches!(messages[*index].1, Message::Secure { .. } | Message::Begin { .. })
        });
    }
}
