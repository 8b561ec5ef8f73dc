//! Every table of the segment, byte by byte. `docs/layout.md` draws what stands here.
//!
//! ```text
//! 0            header, one page
//! processes    ProcessRecord × 256
//! participants ParticipantRecord × max_participants (ids from 1)
//! slots        SlotRecord × slots (ids from 1)
//! waiters      256 buckets × bitmap of participants
//! directory    one u64 a slab of 64 KiB, for the whole of max_size, and its summary (the slab crate's)
//! data         slabs, from a multiple of 64 KiB
//! ```
//!
//! All fields are atomics: any word here can be written by another process at any time, or be garbage in a
//! corrupt segment. Little-endian only.

use crate::Off;
use crate::primitive::{AtomicU32, AtomicU64};

/// "COHEAP" and two bytes of format version, as a little-endian u64. Published last.
pub const MAGIC: u64 = u64::from_le_bytes(*b"COHEAP\x01\x00");
/// The size of a slab: what the allocator hands to a size class, and the step of commitment of a small heap.
pub const SLAB: u64 = 64 << 10;
/// The step of commitment.
pub const CHUNK: u64 = 4 << 20;
/// Rows of the process table.
pub const MAX_PROCESSES: usize = 256;
/// Buckets of the waiter table.
pub const WAITER_BUCKETS: usize = 256;
/// Lane of a participant's JavaScript thread in a synchronous wait.
pub const LANE_SYNC: usize = 0;
/// Lane of a participant's waiter thread.
pub const LANE_ASYNC: usize = 1;
/// Lane of a participant's watch for deaths: rung when somebody joins or is buried.
pub const LANE_WATCH: usize = 2;
/// Doorbell lanes of a participant.
pub const LANES: usize = 3;
/// Burials that the header remembers.
pub const BURIALS: usize = 64;
/// The largest `max_size`.
pub const LARGEST: u64 = 64 << 30;
/// The smallest `max_size`.
pub const SMALLEST: u64 = 1 << 20;

/// The first page.
#[repr(C, align(4096))]
pub struct Header {
    // 0x000: written once by the creator, before `magic`
    /// [`MAGIC`]; 0 while the creator is not done.
    pub magic: AtomicU64,
    /// Hash of the layout of all tables and of the size classes.
    pub layout_hash: AtomicU64,
    /// Random; proves that two mappings are of one object.
    pub nonce: [AtomicU64; 2],
    /// Reserved bytes.
    pub max_size: AtomicU64,
    /// Step of commitment: [`CHUNK`], or [`SLAB`] when `max_size` < 16 MiB.
    pub commit_step: AtomicU64,
    /// Bit 0: [`FLAG_PERSIST`]; bit 1: [`FLAG_GONE`].
    pub flags: AtomicU64,
    /// Milliseconds since 1970.
    pub created_at: AtomicU64,
    /// Seed of string hashes.
    pub hash_seed: AtomicU64,
    /// Low 32: max_participants; high 32: slots.
    pub counts: AtomicU64,
    /// Offset of the process table.
    pub processes: AtomicU64,
    /// Offset of the participant table.
    pub participants: AtomicU64,
    /// Offset of the slot table.
    pub slots: AtomicU64,
    /// Offset of the waiter table.
    pub waiters: AtomicU64,
    /// Offset of the slab directory.
    pub directory: AtomicU64,
    /// First slab.
    pub data: AtomicU64,
    /// UTF-8, zero-filled.
    pub name: [AtomicU64; 8],
    // 0x0c0
    /// Really allocated bytes; only grows (CAS-max).
    pub committed: AtomicU64,
    _pad0: [AtomicU64; 7],
    // 0x100
    /// The version clock: commits fetch-add it, readers CAS-max it, single operations only read it.
    pub clock: AtomicU64,
    _pad1: [AtomicU64; 7],
    // 0x140
    /// Ages of transactions: fetch-add at the first attempt; smaller is older.
    pub ages: AtomicU64,
    _pad2: [AtomicU64; 7],
    // 0x180: roots
    /// The root record (identity). `objects`.
    pub root: AtomicU64,
    /// The shape table. `objects`.
    pub shapes: AtomicU64,
    /// The table of interned shape keys. `objects`.
    pub keys: AtomicU64,
    /// The channel directory. `queue`.
    pub channels: AtomicU64,
    _pad3: [AtomicU64; 4],
    // 0x1c0: the collector's
    /// {cycle 32, collector's participant 16, phase 8}. `gc`.
    pub collector: AtomicU64,
    /// Bumped when memory is short. `gc`.
    pub pressure: AtomicU64,
    _pad4: [AtomicU64; 6],
    // 0x200: counters of participants that have left
    /// Bytes handed out minus bytes freed by those who have left (two's complement).
    pub used_by_gone: AtomicU64,
    /// Commits of those who have left.
    pub commits_by_gone: AtomicU64,
    /// Aborts of those who have left.
    pub aborts_by_gone: AtomicU64,
    /// Live objects created minus freed by those who have left.
    pub objects_by_gone: AtomicU64,
    /// Free for later.
    pub spare: [AtomicU64; 4],
    // 0x240
    /// The allocator's hints, one a size class. `slab`.
    pub slab_hints: [AtomicU64; 64],
    // 0x440: who was buried (see `burial`)
    /// Burials so far.
    pub buried: AtomicU64,
    _pad5: [AtomicU64; 7],
    /// The last of them: burial n is word n mod [`BURIALS`].
    pub burials: [AtomicU64; BURIALS],
    _pad6: [AtomicU64; 304],
}
const _: () = assert!(size_of::<Header>() == 4096);
const _: () = assert!(std::mem::offset_of!(Header, committed) == 0x0c0);
const _: () = assert!(std::mem::offset_of!(Header, clock) == 0x100);
const _: () = assert!(std::mem::offset_of!(Header, root) == 0x180);
const _: () = assert!(std::mem::offset_of!(Header, slab_hints) == 0x240);
const _: () = assert!(std::mem::offset_of!(Header, buried) == 0x440);

/// Where the byte locks of the rows of the process table begin: far above the largest segment. Only locks are
/// there, no bytes.
pub const LOCK_BASE: u64 = 1 << 48;
/// The byte lock that keeps apart who creates, enters, leaves or removes the segment.
pub const LOCK_GATE: u64 = LOCK_BASE + MAX_PROCESSES as u64;
/// Bit of [`Header::flags`]: the segment outlives its last user.
pub const FLAG_PERSIST: u64 = 1;
/// Bit of [`Header::flags`]: its last user has removed it; nobody may join any more.
pub const FLAG_GONE: u64 = 2;
/// State of a row of the process table: nobody's.
pub const PROCESS_FREE: u32 = 0;
/// State of a row of the process table: a process uses the segment as long as it holds the row's lock.
pub const PROCESS_HERE: u32 = 1;
/// State of a row of the process table: as [`PROCESS_HERE`], but it is about to end and no longer counts as a
/// user.
pub const PROCESS_EXITING: u32 = 2;

/// One process that maps the segment. Its life is the kernel-held lock on byte ([`LOCK_BASE`] + index).
#[repr(C, align(64))]
pub struct ProcessRecord {
    /// {generation 32, state 32}: 0 free, 1 here, 2 exiting. The generation grows at each claim.
    pub state: AtomicU64,
    /// Process id, in its own pid namespace.
    pub pid: AtomicU64,
    /// Start time of the process, as the system tells it.
    pub started: AtomicU64,
    _pad: [AtomicU64; 5],
}
const _: () = assert!(size_of::<ProcessRecord>() == 64);

/// One JavaScript thread (or Rust thread) that uses the heap.
#[repr(C, align(64))]
pub struct ParticipantRecord {
    /// {generation 24, process generation 24, process row 8, state 8}: 0 free, 1 claimed, 2 leaving, 3 abandoned.
    pub state: AtomicU64,
    /// Row of the process table.
    pub process: AtomicU64,
    /// Thread id within the process (0: main).
    pub thread: AtomicU64,
    /// Milliseconds since 1970.
    pub since: AtomicU64,
    /// The slot of its callbacks and single operations.
    pub slot: AtomicU64,
    /// The handle table's directory (see `txn::handles`), 0 before the first handle.
    pub handles: AtomicU64,
    /// Deliveries not yet acknowledged (see `queue`), 0 before the first.
    pub deliveries: AtomicU64,
    /// Pressure answers. `gc`.
    pub pressure: AtomicU64,
    // 0x40: written only by the participant itself
    /// Bytes handed out minus bytes freed (two's complement).
    pub used: AtomicU64,
    /// Objects brought to life minus freed.
    pub objects: AtomicU64,
    /// Commits of transactions.
    pub commits: AtomicU64,
    /// Aborted attempts.
    pub aborts: AtomicU64,
    /// The allocator's intent: bitmap word about to be owned, or 0. `slab`.
    pub alloc_intent: AtomicU64,
    /// The allocator's intent: block about to be freed, or 0. `slab`.
    pub free_intent: AtomicU64,
    _pad1: [AtomicU64; 2],
    // 0x80
    /// Doorbells: a counter a lane, bumped by each ring; a sleeper waits while it is unchanged. The high bit of
    /// the neighbouring word says that somebody sleeps. One cache line for all.
    pub bells: [Doorbell; LANES],
    _pad2: [AtomicU64; 5],
    // 0xc0
    /// The process that buries the participant after its death: a [`crate::Role`]; 0 nobody.
    pub burier: AtomicU64,
    /// Id of its process, which may be gone, in that process's own pid namespace.
    pub pid: AtomicU64,
    /// Free for later.
    pub spare: [AtomicU64; 6],
}
const _: () = assert!(size_of::<ParticipantRecord>() == 256);

/// A doorbell.
#[repr(C)]
pub struct Doorbell {
    /// Counts rings.
    pub count: AtomicU32,
    /// Number of threads that sleep here (0 or 1): a ringer skips the system call at 0.
    pub sleepers: AtomicU32,
}

/// The number of lock words that a slot holds in place.
pub const INLINE_LOCKS: usize = 14;
/// The number of redo words that a slot holds in place.
pub const INLINE_REDO: usize = 30;

/// One transaction at a time, or one participant's single operations.
#[repr(C, align(64))]
pub struct SlotRecord {
    // 0x000
    /// [`crate::StatusWord`].
    pub status: AtomicU64,
    /// Odd while native code holds fresh blocks that nothing refers to yet.
    pub building: AtomicU64,
    /// Age of the transaction: its ticket; kept over its retries.
    pub age: AtomicU64,
    /// Grows at each native call of the transaction: it makes steps.
    pub steps: AtomicU64,
    /// Flags of the attempt: 1 reserves its reads, 2 explicit, 4 inside `run`, 8 reserves all after failures.
    pub flags: AtomicU64,
    /// Milliseconds (CLOCK_MONOTONIC) of the first attempt's start, for maxHold; 0 none.
    pub started: AtomicU64,
    /// {generation of the participant's row 32, participant 32} that owns the slot; 0 free.
    pub claimed: AtomicU64,
    /// The process that recovers it after its owner's death: a [`crate::Role`]; 0 nobody.
    pub recoverer: AtomicU64,
    // 0x040: the intent line of single operations
    /// {word 0's offset, wv | n << 56, n × (offset, value)}
    pub intent: [AtomicU64; 16],
    // 0x0c0
    /// Length of the lock list.
    pub locks_len: AtomicU64,
    /// Overflow of the lock list: a chain of blocks; 0 none.
    pub locks_more: AtomicU64,
    /// The lock list: offsets of version words.
    pub locks: [AtomicU64; INLINE_LOCKS],
    // 0x140
    /// Length of the redo log in words.
    pub redo_len: AtomicU64,
    /// Overflow of the redo log: a chain of blocks; 0 none.
    pub redo_more: AtomicU64,
    /// The redo log: groups {version word's offset, n, n × (offset, value)}.
    pub redo: [AtomicU64; INLINE_REDO],
    // 0x240
    /// The version that the commit writes.
    pub wv: AtomicU64,
    /// Fresh blocks that nothing refers to yet: a chain of blocks; 0 none.
    pub fresh: AtomicU64,
    /// Length of the fresh list.
    pub fresh_len: AtomicU64,
    /// Whose message the slot's owner is about to give back in that one's stead: {1 | tag 4 | slot 10}, 0 none.
    /// `queue`.
    pub giving_back: AtomicU64,
    /// Bit t: a message taken under tag t was given back since the tag was last found safe to use. `queue`.
    pub given_back: AtomicU64,
    /// Milliseconds that an explicit transaction may hold what it reserved (maxHold); 0 no limit.
    pub max_hold: AtomicU64,
    /// Free for later.
    pub spare: [AtomicU64; 2],
}
const _: () = assert!(size_of::<SlotRecord>() == 640);
const _: () = assert!(std::mem::offset_of!(SlotRecord, intent) == 0x40);
const _: () = assert!(std::mem::offset_of!(SlotRecord, locks_len) == 0xc0);
const _: () = assert!(std::mem::offset_of!(SlotRecord, redo_len) == 0x140);
const _: () = assert!(std::mem::offset_of!(SlotRecord, wv) == 0x240);

/// Where the tables of a segment of this size stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the header's field of the same name")]
pub struct Plan {
    pub max_size: u64,
    pub commit_step: u64,
    pub max_participants: u32,
    pub slots: u32,
    pub processes: Off,
    pub participants: Off,
    pub slot_table: Off,
    pub waiters: Off,
    pub directory: Off,
    pub data: Off,
}

/// FNV-1a over 64-bit words: enough to tell layouts apart.
const fn mix(hash: u64, word: usize) -> u64 {
    (hash ^ word as u64).wrapping_mul(0x0000_0100_0000_01b3)
}

/// The hash of the layout of all tables; `upper` is the like of the floors above (size classes, cells).
pub const fn layout_hash(upper: u64) -> u64 {
    let words = [
        size_of::<Header>(),
        std::mem::offset_of!(Header, committed),
        std::mem::offset_of!(Header, clock),
        std::mem::offset_of!(Header, root),
        std::mem::offset_of!(Header, collector),
        std::mem::offset_of!(Header, used_by_gone),
        std::mem::offset_of!(Header, slab_hints),
        std::mem::offset_of!(Header, buried),
        std::mem::offset_of!(Header, burials),
        size_of::<ProcessRecord>(),
        size_of::<ParticipantRecord>(),
        std::mem::offset_of!(ParticipantRecord, used),
        std::mem::offset_of!(ParticipantRecord, bells),
        LANES,
        std::mem::offset_of!(ParticipantRecord, burier),
        size_of::<SlotRecord>(),
        std::mem::offset_of!(SlotRecord, intent),
        std::mem::offset_of!(SlotRecord, locks),
        std::mem::offset_of!(SlotRecord, redo),
        std::mem::offset_of!(SlotRecord, wv),
        INLINE_LOCKS,
        INLINE_REDO,
        MAX_PROCESSES,
        WAITER_BUCKETS,
        SLAB as usize,
        CHUNK as usize,
    ];
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < words.len() {
        hash = mix(hash, words[i]);
        i += 1;
    }
    mix(hash, upper as usize)
}

impl Plan {
    /// Lays out a segment. `max_size` is rounded up to a whole number of commitment steps.
    pub fn new(max_size: u64, max_participants: u32) -> Plan {
        let commit_step = if max_size < 16 << 20 { SLAB } else { CHUNK };
        let max_size = max_size.next_multiple_of(commit_step);
        // a participant needs one slot for itself and one for each open explicit transaction
        let slots = (max_participants * 2).min(crate::word::MAX_SLOTS as u32);
        let processes = size_of::<Header>() as u64;
        let participants = processes + (MAX_PROCESSES * size_of::<ProcessRecord>()) as u64;
        let slot_table = participants + max_participants as u64 * size_of::<ParticipantRecord>() as u64;
        let waiters = slot_table + slots as u64 * size_of::<SlotRecord>() as u64;
        let directory = waiters + WAITER_BUCKETS as u64 * Self::bucket_bytes(max_participants);
        let data = (directory + Self::directory_bytes(max_size)).next_multiple_of(SLAB);
        Plan {
            max_size,
            commit_step,
            max_participants,
            slots,
            processes,
            participants,
            slot_table,
            waiters,
            directory,
            data,
        }
    }
    /// As many participants, up to 512, as need no more than an eighth of a segment of this size for their tables.
    pub fn participants_that_fit(max_size: u64) -> u32 {
        // a participant's row, two slots, and its bit of each waiter bucket rounded up to a byte
        const EACH: u64 =
            (size_of::<ParticipantRecord>() + 2 * size_of::<SlotRecord>() + WAITER_BUCKETS) as u64;
        let fixed = (size_of::<Header>() + MAX_PROCESSES * size_of::<ProcessRecord>()) as u64;
        ((max_size / 8).saturating_sub(fixed) / EACH).clamp(8, 512) as u32
    }
    /// What the header says about the plan: each field's offset and value.
    pub fn header_words(&self) -> [(usize, u64); 9] {
        use std::mem::offset_of;
        [
            (offset_of!(Header, max_size), self.max_size),
            (offset_of!(Header, commit_step), self.commit_step),
            (offset_of!(Header, counts), self.max_participants as u64 | (self.slots as u64) << 32),
            (offset_of!(Header, processes), self.processes),
            (offset_of!(Header, participants), self.participants),
            (offset_of!(Header, slots), self.slot_table),
            (offset_of!(Header, waiters), self.waiters),
            (offset_of!(Header, directory), self.directory),
            (offset_of!(Header, data), self.data),
        ]
    }
    /// Bytes of the slab directory: a word a slab, then its summary, a word for 64 slabs and a word for 64 of those.
    pub const fn directory_bytes(max_size: u64) -> u64 {
        let slabs = max_size / SLAB;
        (slabs + slabs.div_ceil(64) + slabs.div_ceil(64 * 64)) * 8
    }
    /// Bytes of one waiter bucket.
    pub const fn bucket_bytes(max_participants: u32) -> u64 {
        // bit 0 is unused, participants count from 1
        (max_participants as u64 + 1).div_ceil(64) * 8
    }
}
