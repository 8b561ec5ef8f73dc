//! Segments with names: create, open, list, unlink.
//!
//! All of it happens inside the object's gate (see `os`), and the name is looked up again
//! once the gate is shut: only who has the gate of an object removes its name, so what is true of name and
//! object then stays true. Two creators, or a creator and a cleaner, cannot race; a stale object is never
//! removed in the place of its successor.
//!
//! Nothing of an object is mapped, and so nothing can fault, before its descriptor has been checked, its header
//! has been read through the descriptor, and the plan that it tells has been made again from its size and
//! counts and found to be the same.

use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::layout::*;
use crate::name::check_name;
use crate::os::{Os, System};
use crate::participant::since_1970;
use crate::presence::{is_in_use, open_segments, process_table};
use crate::{Code, Error, Result, Segment};

/// How a segment is made. `open` heeds `dir` and `layout` only: the rest is in the segment.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes committed at once; 0: 4 MiB, or all of a smaller heap.
    pub size: u64,
    /// Bytes that it can grow to: 1 MiB to 64 GiB.
    pub max_size: u64,
    /// 0o600, or 0o660 to let the group in.
    pub mode: u32,
    /// It survives its last user.
    pub persist: bool,
    /// Threads that can join, 1 to 1,022; 0: 512, or fewer in a heap whose tables they would fill.
    pub max_participants: u32,
    /// A folder to hold it, meant for a tmpfs of one's own; `None`: the system's place.
    pub dir: Option<PathBuf>,
    /// Hash of the formats of the floors above; a segment made with another one is `ERR_COHEAP_VERSION`.
    pub layout: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            size: 0,
            max_size: 1 << 30,
            mode: 0o600,
            persist: false,
            max_participants: 0,
            dir: None,
            layout: 0,
        }
    }
}

impl Options {
    fn plan(&self) -> Result<Plan> {
        let wrong = |what, about| Err(Error::about(Code::InvalidArgument, what, about));
        if !(SMALLEST..=LARGEST).contains(&self.max_size) {
            return wrong("maxSize is 1 MiB to 64 GiB", self.max_size);
        }
        if self.size > self.max_size {
            return wrong("size is larger than maxSize", self.size);
        }
        if self.mode != 0o600 && self.mode != 0o660 {
            return wrong("mode is 0o600 or 0o660", self.mode as u64);
        }
        if self.persist && !System::PERSISTS {
            return wrong("persist is not possible on this system", 0);
        }
        if self.dir.is_some() && !System::HAS_FOLDERS {
            return wrong("dir is not possible on this system", 0);
        }
        if self.mode != 0o600 && !System::HAS_GROUPS {
            return wrong("only mode 0o600 is possible on this system", self.mode as u64);
        }
        let participants = match self.max_participants {
            0 => Plan::participants_that_fit(self.max_size),
            given if given <= crate::word::MAX_SLOTS as u32 => given,
            given => return wrong("maxParticipants is 1 to 1,022", given as u64),
        };
        let plan = Plan::new(self.max_size, participants);
        if plan.data > plan.max_size / 2 {
            return wrong("the tables of so many participants take most of maxSize", participants as u64);
        }
        Ok(plan)
    }
}

/// What [`Segment::list`] tells about a heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Bytes that it can grow to.
    pub max_size: u64,
    /// Bytes that it takes now.
    pub committed: u64,
    /// The processes that use it, each as it knows itself in its pid namespace.
    pub pids: Vec<u32>,
    /// It survives its last user.
    pub persist: bool,
    /// It does not persist and all who used it are dead: `open` does not find it, `create` takes the name.
    pub stale: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
}

/// The header, read without a mapping.
struct Head([u8; size_of::<Header>()]);

/// What a header says about its segment.
enum Verdict {
    /// No magic word: its creator is not done, or has died.
    Unfinished,
    Good(Plan),
}

impl Head {
    fn read(object: &System) -> Result<Head> {
        let mut bytes = [0; size_of::<Header>()];
        object.read(0, &mut bytes)?;
        Ok(Head(bytes))
    }

    fn word(&self, at: usize) -> u64 {
        self.0[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
    }

    fn persists(&self) -> bool {
        self.word(offset_of!(Header, flags)) & FLAG_PERSIST != 0
    }

    fn is_ours(&self) -> bool {
        self.word(offset_of!(Header, magic)) == MAGIC
    }

    /// Checks everything that a mapping relies on. `ERR_COHEAP_VERSION` for a heap of other bytes than ours,
    /// `ERR_COHEAP_CORRUPT` for one that contradicts itself.
    fn judge(&self, object: &System, name: &str, layout: u64) -> Result<Verdict> {
        const VERSION_BYTES: u64 = 0xffff << 48;
        let magic = self.word(offset_of!(Header, magic));
        match magic {
            0 => return Ok(Verdict::Unfinished),
            MAGIC => {}
            other if other & !VERSION_BYTES == MAGIC & !VERSION_BYTES => {
                return Err(Error::about(Code::Version, "the heap is of another version", other >> 48));
            }
            other => return Err(Error::corrupt("this is not a heap", other)),
        }
        let hash = self.word(offset_of!(Header, layout_hash));
        if hash != layout_hash(layout) {
            return Err(Error::about(Code::Version, "the heap is laid out in another way", hash));
        }
        let max_size = self.word(offset_of!(Header, max_size));
        let participants = self.word(offset_of!(Header, counts)) as u32;
        if !(SMALLEST..=LARGEST).contains(&max_size)
            || !(1..=crate::word::MAX_SLOTS as u32).contains(&participants)
        {
            return Err(Error::corrupt("the heap's size or counts cannot be", max_size));
        }
        let plan = Plan::new(max_size, participants);
        for (at, expected) in plan.header_words() {
            if self.word(at) != expected {
                return Err(Error::corrupt("the heap's header contradicts itself", at as u64));
            }
        }
        let at = offset_of!(Header, name);
        if self.0[at..at + 64] != name_bytes(name) {
            return Err(Error::corrupt("the heap was made under another name", 0));
        }
        let committed = self.word(offset_of!(Header, committed));
        if committed > max_size || committed < plan.data || !committed.is_multiple_of(SLAB) {
            return Err(Error::corrupt("the heap's committed size cannot be", committed));
        }
        let size = object.size()?;
        if size != max_size || !object.has_allocated(committed) {
            return Err(Error::corrupt("the heap's object is not as large as it says", size));
        }
        Ok(Verdict::Good(plan))
    }
}

fn name_bytes(name: &str) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// How often, a millisecond apart, an object without a magic word is looked at before its creator is taken for
/// dead. A creator shuts the gate at once and keeps it until the magic word is there, so this only bridges
/// the instant between its first two system calls.
const LOOKS: u32 = 50;

impl Segment {
    /// Makes a heap. `init` formats the tables of the floors above before anyone else can see it; it may join
    /// and grow the segment, but not create, open or unlink one. `ERR_COHEAP_EXISTS` if a heap of this name is
    /// in use or persists (a stale one is replaced), `ERR_COHEAP_OUT_OF_MEMORY` if the system has no room for
    /// its first bytes; nothing is left behind by a failure. Blocks while others create or remove this name.
    pub fn create(
        name: &str,
        options: &Options,
        init: impl FnOnce(&Arc<Segment>) -> Result<()>,
    ) -> Result<Arc<Segment>> {
        check_name(name)?;
        let plan = options.plan()?;
        let dir = options.dir.as_deref();
        let mut open = open_segments();
        for _ in 0..LOOKS {
            let object = match System::create_excl(dir, name, plan.max_size) {
                Ok(object) => object,
                Err(error) if error.code == Code::Exists => match remove_if(dir, name, is_leftover) {
                    Ok(Found::Removed | Found::Nothing) => continue,
                    Ok(Found::Kept) => return Err(Error::new(Code::Exists, "there is a heap of this name")),
                    Err(error) if error.code == Code::Permission => {
                        return Err(Error::new(
                            Code::Exists,
                            "the name is taken by something of another user's",
                        ));
                    }
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            };
            let identity = object.identity();
            let segment = Segment::over(object, plan, name.to_owned(), options.persist, 0);
            let gate = segment.object.gate()?;
            if !segment.object.is_named()? {
                // taken for a dead creator's: start over
                continue;
            }
            let first = segment.first_bytes(options);
            match segment.claim(first) {
                // Removed between being made and being opened by name: the descriptor is that of the next object of
                // this name, whose creator is waiting for its gate.
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    let _ = segment.object.unlink();
                    return Err(error);
                }
            }
            if let Err(error) = segment.fill(first, options, init) {
                segment.forget();
                let _ = segment.object.unlink();
                return Err(error);
            }
            drop(gate);
            open.retain(|(_, segment)| segment.strong_count() > 0);
            open.push((identity, Arc::downgrade(&segment)));
            return Ok(segment);
        }
        Err(Error::new(Code::Exists, "others create and remove this name all the time"))
    }

    /// The bytes that a new heap takes at once.
    fn first_bytes(&self, options: &Options) -> u64 {
        let plan = self.plan();
        let wanted = if options.size == 0 { CHUNK.min(plan.max_size) } else { options.size };
        wanted.max(plan.data + SLAB).next_multiple_of(plan.commit_step).min(plan.max_size)
    }

    /// Allocates a new object's first bytes, so that the mapping can be touched. False: mapping and descriptor are of
    /// two objects.
    fn claim(&self, first: u64) -> Result<bool> {
        // The next object of this name may be in use already, or of another size: nothing of it is changed, nor is its name
        // removed if there is no memory.
        let unclaimed = Head::read(&self.object)?.word(offset_of!(Header, nonce)) == 0;
        if !unclaimed || self.object.size()? != self.plan().max_size {
            return Ok(false);
        }
        self.object.commit(0, first)?;
        for word in &self.header().nonce {
            word.store(System::random()? | 1, Ordering::Relaxed);
        }
        self.is_one_object()
    }

    /// What a creator does inside the gate.
    fn fill(
        self: &Arc<Self>,
        first: u64,
        options: &Options,
        init: impl FnOnce(&Arc<Segment>) -> Result<()>,
    ) -> Result<()> {
        let header = self.header();
        self.format(first);
        header.hash_seed.store(System::random()?, Ordering::Relaxed);
        header.layout_hash.store(layout_hash(options.layout), Ordering::Relaxed);
        header.flags.store(if options.persist { FLAG_PERSIST } else { 0 }, Ordering::Relaxed);
        header.created_at.store(since_1970(), Ordering::Relaxed);
        for (word, bytes) in header.name.iter().zip(name_bytes(self.name()).chunks_exact(8)) {
            word.store(bytes.try_into().map_or(0, u64::from_le_bytes), Ordering::Relaxed);
        }
        self.begin_creation()?;
        init(self)?;
        self.end_creation();
        self.object.grant(options.mode)?;
        // Release: who sees the magic word sees all of the above. It is the last word to be written.
        header.magic.store(MAGIC, Ordering::Release);
        Ok(())
    }

    /// Mapping and descriptor show the same random number.
    fn is_one_object(&self) -> Result<bool> {
        let head = Head::read(&self.object)?;
        Ok(self.header().nonce.iter().enumerate().all(|(i, word)| {
            let seen = word.load(Ordering::Relaxed);
            seen != 0 && seen == head.word(offset_of!(Header, nonce) + i * 8)
        }))
    }

    /// Opens a heap. A heap that this process has open already is the same `Segment`. `ERR_COHEAP_NOT_FOUND` if
    /// there is none or it is stale, `ERR_COHEAP_PERMISSION` if it is another user's, `ERR_COHEAP_VERSION` and
    /// `ERR_COHEAP_CORRUPT` if it cannot be used. Blocks while others create or remove this name.
    pub fn open(name: &str, options: &Options) -> Result<Arc<Segment>> {
        Segment::open_with(name, options, |_| {})
    }

    /// As [`Segment::open`]. If no other process uses the heap, not even one that is about to end (it persists then),
    /// `alone` is called before anyone else can come in, with this process present and no participant of it. It may not
    /// create, open or unlink a segment. Whoever wants to come, go or remove this name waits for it.
    pub fn open_with(
        name: &str,
        options: &Options,
        alone: impl FnOnce(&Arc<Segment>),
    ) -> Result<Arc<Segment>> {
        check_name(name)?;
        let dir = options.dir.as_deref();
        let mut open = open_segments();
        for _ in 0..LOOKS {
            let mut object = System::open_checked(dir, name)?;
            let identity = object.identity();
            let known =
                open.iter().find(|(other, _)| *other == identity).and_then(|(_, segment)| segment.upgrade());
            if let Some(segment) = known {
                segment.add_opening()?;
                return Ok(segment);
            }
            let gate = object.gate()?;
            if !object.is_named()? {
                continue;
            }
            let head = Head::read(&object)?;
            let plan = match head.judge(&object, name, options.layout)? {
                Verdict::Good(plan) => plan,
                Verdict::Unfinished => {
                    drop(gate);
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
            };
            if !head.persists() && !is_in_use(&object)? {
                return Err(Error::new(Code::NotFound, "all processes that used the heap are dead"));
            }
            object.map_rw()?;
            let committed = head.word(offset_of!(Header, committed));
            let segment = Segment::over(object, plan, name.to_owned(), head.persists(), committed);
            if !segment.is_one_object()? {
                return Err(Error::new(Code::NotFound, "the name changed hands meanwhile"));
            }
            // Inside the gate: nobody comes before it is opened. A row's lock is held until its process has ended.
            let is_alone = segment.is_persistent() && !segment.object.any_row_is_locked();
            segment.appear()?;
            segment.add_opening()?;
            if is_alone {
                alone(&segment);
            }
            open.retain(|(_, segment)| segment.strong_count() > 0);
            open.push((identity, Arc::downgrade(&segment)));
            return Ok(segment);
        }
        Err(Error::new(Code::NotFound, "the heap's creator has died before it was done"))
    }

    /// The heaps of a place that this user may open, by name; stale ones are marked. `ERR_COHEAP_OUT_OF_MEMORY` if this
    /// process may not open another file. Does not block.
    pub fn list(dir: Option<&Path>) -> Result<Vec<Info>> {
        let mut found = Vec::new();
        for name in System::list(dir)? {
            let object = match System::open_checked(dir, &name) {
                Err(error) if error.code == Code::OutOfMemory => return Err(error),
                // another user's, one that is just going, or none at all
                Err(_) => continue,
                Ok(object) => object,
            };
            let Ok(head) = Head::read(&object) else { continue };
            if !head.is_ours() || check_name(&name).is_err() {
                continue;
            }
            let pids: Vec<u32> = process_table(&object)?
                .into_iter()
                .zip(0..=u8::MAX)
                .filter(|((state, _), row)| *state == PROCESS_HERE && object.row_is_locked(*row))
                .map(|((_, pid), _)| pid)
                .collect();
            found.push(Info {
                name,
                max_size: head.word(offset_of!(Header, max_size)),
                committed: head.word(offset_of!(Header, committed)),
                persist: head.persists(),
                stale: !head.persists() && pids.is_empty(),
                pids,
                created_at: head.word(offset_of!(Header, created_at)),
            });
        }
        Ok(found)
    }

    /// Removes a name; false if there was none. A heap in use lives on without it until its last user leaves.
    /// Blocks while others create, open or remove this name.
    pub fn unlink(name: &str, dir: Option<&Path>) -> Result<bool> {
        check_name(name)?;
        let _open = open_segments();
        Ok(remove_if(dir, name, |_| Ok(Leftover::Yes))? == Found::Removed)
    }

    /// Removes a heap that does not persist and whose users are all dead, or whose creator died before it was
    /// done; false if there is none, or if it is not stale. Blocks as [`Segment::unlink`].
    pub fn remove_if_stale(name: &str, dir: Option<&Path>) -> Result<bool> {
        check_name(name)?;
        let _open = open_segments();
        Ok(remove_if(dir, name, is_leftover)? == Found::Removed)
    }
}

/// Whether an object may be removed.
enum Leftover {
    Yes,
    No,
    /// Yes, if it looks the same a little later.
    Perhaps,
}

#[derive(PartialEq, Eq)]
enum Found {
    Removed,
    Kept,
    Nothing,
}

/// Its users, or its creator, have died and nobody wants it. What is not a heap of this version is not ours to
/// remove.
fn is_leftover(object: &System) -> Result<Leftover> {
    let head = Head::read(object)?;
    if head.word(offset_of!(Header, magic)) == 0 {
        return Ok(Leftover::Perhaps);
    }
    let kept = !head.is_ours() || head.persists() || is_in_use(object)?;
    Ok(if kept { Leftover::No } else { Leftover::Yes })
}

/// Removes a name if `may` says so of the object that it leads to. The gate is shut from before that question
/// until the name is gone.
fn remove_if(dir: Option<&Path>, name: &str, may: impl Fn(&System) -> Result<Leftover>) -> Result<Found> {
    for look in 1..=LOOKS {
        let object = match System::open_checked(dir, name) {
            Err(error) if error.code == Code::NotFound => return Ok(Found::Nothing),
            other => other?,
        };
        let gate = object.gate()?;
        if !object.is_named()? {
            continue;
        }
        match may(&object)? {
            Leftover::No => return Ok(Found::Kept),
            Leftover::Perhaps if look < LOOKS => {
                drop(gate);
                std::thread::sleep(Duration::from_millis(1));
            }
            Leftover::Yes | Leftover::Perhaps => {
                object.unlink()?;
                return Ok(Found::Removed);
            }
        }
    }
    Ok(Found::Nothing)
}
