/* The waiters bit (design 5 "Waiters bit", 9; code: txn/wait.rs `arm`, txn/contend.rs `pause`, `strip`, segment/waiters.rs, doorbell.rs).
   Sleeps have no time limit here (in the code 50 ms, for a waker may be killed), so a lost wake-up is a deadlock.

   Waiters 1 and 2 sleep until the word has another version; both lanes of the word's bucket are one. Worker 3 changes the word by a single
   operation (C by CAS, plain store to release). Worker 4 reserves it (C = 0), is aborted, and has it stripped by anybody or rolled back; then
   the word has its old version, and whoever wakes looks again.

   Mutants (-D)        what is wrong
   NO_LOOK             the waiter does not look again between setting the bit and sleeping
   BELL_LATE           the bell's count is read after the look
   BIT_UNDER_C         the bit is also set while C = 1
   NO_CARRY            who sets C or takes the word drops the bit
   RING_FIRST          the releaser rings before it releases
   TABLE_LATE          the waiter enters the table after setting the bit
   STRIP_SILENT        who strips an owner does not ring
   LOADS_ONCE          the sleeper announces itself after its last look at the bell's count */
byte owner, ver; bit C, bit_;
bool table[3], sleepers[3], asleep[3], aborted; byte bell[3];
byte fin;

#define V0 0                            /* the version that the waiters have seen */
#ifdef NO_CARRY
#define CARRY 0
#else
#define CARRY 1
#endif

/* ring everybody in the table; the wake-up is real only if the sleeper has announced itself */
inline ring() {
  w = 1;
  do
  :: w < 3 ->
     if :: table[w] -> bell[w]++; if :: sleepers[w] -> asleep[w] = false :: else fi :: else fi;
     w++
  :: else -> break
  od
}

proctype Waiter(byte me) {
  byte seen;
#ifndef TABLE_LATE
  table[me] = true;
#endif
again:
#ifndef BELL_LATE
  seen = bell[me];
#endif
  if
  :: ver != V0 -> goto done
#ifndef BIT_UNDER_C
  :: ver == V0 && C -> (!C); goto again            /* naps: a word with C changes soon or is given back */
  :: atomic { ver == V0 && !C && !bit_ -> bit_ = 1 }
  :: ver == V0 && !C && bit_
#else
  :: atomic { ver == V0 && !bit_ -> bit_ = 1 }
  :: ver == V0 && bit_
#endif
  fi;
#ifdef TABLE_LATE
  table[me] = true;
#endif
#ifndef NO_LOOK
  if :: ver != V0 || !bit_ -> goto again :: else fi;
#endif
#ifdef BELL_LATE
  seen = bell[me];
#endif
#ifdef LOADS_ONCE
  if :: bell[me] != seen -> goto again :: else fi;
  sleepers[me] = true;
  asleep[me] = true;
#else
  sleepers[me] = true;
  /* the kernel compares and sleeps in one step */
  atomic { if :: bell[me] != seen -> sleepers[me] = false; goto again :: else -> asleep[me] = true fi }
#endif
  (!asleep[me]);
  sleepers[me] = false;
  goto again;
done:
  table[me] = false;
  fin++
}

/* a single operation */
proctype Single() {
  bit b; byte w;
again:
  if
  :: atomic { owner == 0 && !C -> C = 1; owner = 3; bit_ = bit_ && CARRY; b = bit_ }
  :: atomic { owner == 4 && aborted -> owner = 0; b = bit_; bit_ = 0 }
#ifndef STRIP_SILENT
     if :: b -> ring() :: else fi;
#endif
     goto again
  fi;
#ifdef RING_FIRST
  if :: b -> ring() :: else fi;
#endif
#ifdef BIT_UNDER_C
  atomic { ver = V0 + 1; owner = 0; C = 0; bit_ = 0 }     /* a plain store: what was set meanwhile is gone */
#else
  atomic { assert(bit_ == b); ver = V0 + 1; owner = 0; C = 0; bit_ = 0 }
#endif
#ifndef RING_FIRST
  if :: b -> ring() :: else fi;
#endif
  fin++
}

/* a transaction that reserves the word and is aborted */
proctype Reserver() {
  bit b; byte w;
  if
  :: atomic { owner == 0 && !C -> owner = 4; bit_ = bit_ && CARRY }
     aborted = true;
     atomic { b = 0; if :: owner == 4 -> owner = 0; b = bit_; bit_ = 0 :: else fi };
     if :: b -> ring() :: else fi
  :: ver != V0
  fi;
  fin++
}

init {
  atomic { run Waiter(1); run Waiter(2); run Single(); run Reserver() }
  (fin == 4)
}
