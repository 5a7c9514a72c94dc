//! What is between a proxy and a server: it passes bytes on until it is told to swallow them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Relay {
    pub port: u16,
    /// Connections that came.
    pub accepted: Arc<AtomicU32>,
    /// Of those that come now.
    silent: Arc<Mutex<Arc<AtomicBool>>>,
}

impl Relay {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let (accepted, silent) = (Arc::<AtomicU32>::default(), Arc::<Mutex<Arc<AtomicBool>>>::default());
        let relay = Self { port: own, accepted: accepted.clone(), silent: silent.clone() };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                accepted.fetch_add(1, Relaxed);
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let silent = silent.lock().unwrap().clone();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let silent = silent.clone();
                    thread::spawn(move || pass(from, to, &silent));
                }
                // Neither end hears that the other has gone.
                std::mem::forget((client, server));
            }
        });
        relay
    }

    /// From now on what is connected is so in appearance only; who connects anew is served.
    pub fn silence(&self) {
        std::mem::take(&mut *self.silent.lock().unwrap()).store(true, Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool) {
    let mut bytes = [0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !silent.load(Relaxed) && to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}
