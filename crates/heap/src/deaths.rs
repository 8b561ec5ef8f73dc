//! Noticing deaths: [`Deaths`], a look that buries the dead and tells who they were, and [`Watcher`], a thread that looks
//! when there is reason to.
//!
//! Nothing depends on it. Whoever meets a dead owner recovers it there and then, and whoever joins buries all the dead;
//! a watcher makes the rest come back at once, and lets a program hear of it. Between looks it sleeps:
//!
//! | others | how long | woken by |
//! | --- | --- | --- |
//! | no other process | an hour | a ring: somebody joins |
//! | other processes | 1 s at most | the end of one of them (Linux: its pidfd; elsewhere it naps for 50 ms) |
//!
//! So a program that is alone with its heap uses no CPU for it, one among others some microseconds a second; a death is
//! noticed within a millisecond where the system tells of it. The system only makes it quicker: who is dead is what the
//! kernel's locks say.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use coheap_segment::{Code, Death, Error, LANE_WATCH, ParticipantInfo, Peers, Result, Segment};

/// Alone: until somebody rings.
const ALONE: Duration = Duration::from_secs(3600);
/// Among others, where the system tells of deaths: somebody may have come.
const AMONG_OTHERS: Duration = Duration::from_secs(1);

/// Tells of each participant that dies from its making on, once, whoever buries it. Leaving is not dying.
pub struct Deaths {
    segment: Arc<Segment>,
    /// Burials seen.
    seen: u64,
    told: Vec<(u16, u32)>,
    known: HashMap<(u16, u32), ParticipantInfo>,
}

impl Deaths {
    /// From now on.
    pub fn new(segment: &Arc<Segment>) -> Deaths {
        let mut deaths = Deaths {
            segment: segment.clone(),
            seen: segment.burials(),
            told: Vec::new(),
            known: HashMap::new(),
        };
        deaths.learn();
        deaths
    }

    /// Buries whoever is dead, and tells of all who were buried since the last look: as much as is known of them. Recovery may
    /// fail in a corrupt heap; whoever needs what it could not repair meets that. A system call for each other
    /// process. Does not block.
    pub fn look(&mut self) -> Vec<ParticipantInfo> {
        self.learn();
        let _ = coheap_txn::sweep(&self.segment);
        let (deaths, seen) = self.segment.deaths(self.seen);
        self.seen = seen;
        let found = deaths.into_iter().filter_map(|death| self.tell(death)).collect();
        self.learn();
        found
    }

    fn tell(&mut self, death: Death) -> Option<ParticipantInfo> {
        let who = (death.id, death.generation);
        // a burial that was repeated stands near its first entry
        if self.told.contains(&who) {
            return None;
        }
        if self.told.len() >= coheap_segment::BURIALS {
            self.told.remove(0);
        }
        self.told.push(who);
        let known = self.known.remove(&who);
        let info = known.unwrap_or(ParticipantInfo {
            id: death.id,
            generation: death.generation,
            pid: death.pid,
            thread: 0,
            since: 0,
            alive: false,
            own: false,
        });
        Some(ParticipantInfo { alive: false, ..info })
    }

    /// Remembers who is there: when they are buried their rows may be somebody else's already.
    fn learn(&mut self) {
        let now = self.segment.participants();
        let gone = |known: &(u16, u32)| !now.iter().any(|p| (p.id, p.generation) == *known);
        let seen = self.segment.burials();
        if self.seen == seen {
            self.known.retain(|who, _| !gone(who));
        }
        for info in now {
            self.known.insert((info.id, info.generation), info);
        }
    }
}

struct Shared {
    segment: Arc<Segment>,
    participant: u16,
    stop: AtomicBool,
    peers: Peers,
}

/// A thread that watches for deaths in a participant's stead, until it is dropped (it must not outlive the participant).
pub struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Calls `died` on a thread of its own for each participant that dies from now on. One watcher a participant.
    pub fn start(
        segment: &Arc<Segment>,
        participant: u16,
        mut died: impl FnMut(ParticipantInfo) + Send + 'static,
    ) -> Result<Watcher> {
        let shared = Arc::new(Shared {
            segment: segment.clone(),
            participant,
            stop: AtomicBool::new(false),
            peers: Peers::new(segment)?,
        });
        let mut deaths = Deaths::new(segment);
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("coheap-deaths".to_owned())
            .stack_size(256 << 10)
            .spawn(move || of_thread.watch(&mut deaths, &mut died))
            .map_err(|e| Error::system(Code::OutOfMemory, "no thread to watch processes with", &e))?;
        Ok(Watcher { shared, thread: Some(thread) })
    }
}

impl Shared {
    fn watch(&self, deaths: &mut Deaths, died: &mut dyn FnMut(ParticipantInfo)) {
        while !self.stop.load(Ordering::SeqCst) {
            // read before looking: a ring between the look and the sleep makes the sleep return at once
            let bell = self.segment.bell(self.participant, LANE_WATCH);
            deaths.look().into_iter().for_each(&mut *died);
            if !self.peers.wait(AMONG_OTHERS) && !self.stop.load(Ordering::SeqCst) {
                self.segment.sleep(self.participant, LANE_WATCH, bell, ALONE);
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // SeqCst: before the ring, and so before the thread's look after it
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.segment.ring(self.shared.participant, LANE_WATCH);
        self.shared.peers.interrupt();
        if let Some(thread) = self.thread.take() {
            // a panic in it has been reported
            let _ = thread.join();
        }
    }
}
