/* Why C never goes from 1 to 0 without a new version (design 5; code: txn/contend.rs `strip`). Tags have one bit here. A thief samples the word
   {owner, tag, C 1, version} and its owner's status ABORTED, and sleeps; the owner's tag wraps, the word is the same again, now under an
   attempt that has decided; the thief wakes and takes it.
   Checked: a decided owner still has its word.
   Mutant: BUMP=0 (roll-back clears C and keeps the version). */
#ifndef BUMP
#define BUMP 1
#endif
#define TAG (seq % 2)
mtype = { IDLE, ACTIVE, PREP, COMM, ABRT };
byte owner, tag, ver, val, seq, clk; bit C;
mtype st = IDLE;

proctype Owner() {
  byte n, v; bit ok;
  do
  :: n < 4 ->
     n++;
     st = ACTIVE;
     atomic { if :: owner == 0 -> owner = 1; tag = TAG; C = 0; v = ver :: else -> goto abort fi };
     atomic { if :: st == ACTIVE -> st = PREP :: else -> goto abort fi };
     atomic { if :: owner == 1 && tag == TAG && C == 0 && ver == v -> C = 1 :: else -> goto abort fi };
     atomic { if :: st == PREP -> st = COMM :: else -> goto abort fi };
     atomic { assert(owner == 1 && tag == TAG && C == 1); val++ };
     atomic { clk++; ver = clk; owner = 0; C = 0 };
     goto next;
abort:
     st = ABRT;
     atomic {
       if
       :: owner == 1 && tag == TAG ->
#if BUMP == 1
          if :: C -> clk++; ver = clk :: else fi;
#endif
          owner = 0; C = 0
       :: else
       fi };
next:
     atomic { seq++; st = IDLE }
  :: else -> break
  od
}

/* aborts the undecided owner, twice at most */
proctype Wounder() {
  byte n;
  do
  :: n < 2 -> n++; atomic { if :: st == ACTIVE || st == PREP -> st = ABRT :: else fi }
  :: break
  od
}

proctype Thief() {
  byte t, v, n; bit c; bool over;
  do
  :: n < 2 ->
     n++;
     atomic { t = tag; v = ver; c = C; over = (owner == 1) };
     atomic { over = over && st == ABRT && TAG == t };
     if
     :: over ->
        atomic {
          if
          :: owner == 1 && tag == t && ver == v && C == c -> owner = 2; tag = 0; C = 1
          :: else -> over = false
          fi };
        if :: over -> val++; atomic { clk++; ver = clk; owner = 0; C = 0 } :: else fi
     :: else
     fi
  :: break
  od
}

init { atomic { run Owner(); run Wounder(); run Thief() } }
