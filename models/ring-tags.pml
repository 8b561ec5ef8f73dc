/* Tags that wrap (design 8; code: queue/judge.rs "The wrapped tag", `settle`, `give_back`, `tag_is_safe`). One place with one message; tags
   have one bit, so TAKEN by {owner, tag} comes again after two attempts. Slot 1 takes under one attempt after another: some commit, some
   abort; its first owner may die in any of them, is recovered, and the slot's next owner does other things under the same tags.
   Two helpers settle what they find, and may be slow.

   Checked: a take is undone only if its attempt is over, and consumed only if it has committed; the message is delivered once or still there.

   Mutants (-D)        what is wrong
   NO_ANNOUNCE         helpers do not announce what they settle
   NO_TAG_CHECK        the owner takes under any tag
   JUDGE_ONCE          helpers do not judge again after the announcement
   MARK_LATE           the tag is marked after the message has been given back
   RECOVER_NO_PLACES   recovery sets IDLE without settling the places of the dead */
#ifndef ATTEMPTS
#define ATTEMPTS 4
#endif
mtype = { EMPTY, FULL, TAKEN, GONE, IDLE, ACTIVE, COMM, ABRT };
mtype st = IDLE, place = FULL;
byte seq, tg, took, got;                /* took: the attempt that TAKEN is of */
bool marked[2], committed[8], dead, fin;
byte said[4];                           /* announcements of the helpers 1 and 2: 1 + tag; 0: none */
#define TAG (seq & 1)

/* TAKEN under tag t -> to, by CAS */
inline cas(t, to) {
  atomic {
    if
    :: place == TAKEN && tg == t ->
       if
       :: to == FULL -> assert(took != seq || st == ABRT || st == IDLE || dead)
       :: else -> assert(committed[took])
       fi;
       place = to
    :: else
    fi }
}

proctype Owner() {
  byte n, k; bool others, safe;         /* others: the slot's next owner, who has nothing to do with the channel */
  do
  :: n == ATTEMPTS -> break
  :: n < ATTEMPTS ->
     n++;
     st = ACTIVE;
     if
     :: !others ->
        safe = true;
#ifndef NO_TAG_CHECK
        if
        :: marked[TAG] ->
           if :: said[1] == 1 + TAG -> safe = false :: else fi;
           if :: said[2] == 1 + TAG -> safe = false :: else fi;
           if :: safe -> marked[TAG] = false :: else fi
        :: else
        fi;
#endif
        if
        :: safe ->
           if
           :: atomic { place == FULL -> place = TAKEN; tg = TAG; took = seq }
           :: place != FULL
           fi
        :: else
        fi;
        if
        :: dead = true; goto died                            /* killed */
        :: st = ABRT;                                        /* aborts */
           if
           :: atomic { place == TAKEN && took == seq -> skip }
#ifndef MARK_LATE
              marked[TAG] = true;
#endif
              cas(TAG, FULL);
#ifdef MARK_LATE
              marked[TAG] = true;
#endif
           :: else
           fi
        :: atomic { st = COMM; if :: place == TAKEN && took == seq -> committed[seq] = true; got++ :: else fi }
           if :: dead = true; goto died :: skip fi;
           cas(TAG, GONE)
        fi
     :: else -> st = COMM
     fi;
     goto next;
died:
     /* recovery by somebody, and burial */
     if :: st == ACTIVE -> st = ABRT :: else fi;
#ifndef RECOVER_NO_PLACES
     if
     :: st == COMM -> cas(TAG, GONE)
     :: else -> marked[TAG] = true; cas(TAG, FULL)
     fi;
#endif
     others = true;
next:
     atomic { seq++; st = IDLE; dead = false }
  od;
  fin = true
}

proctype Helper(byte me) {
  byte t, n; mtype v;
  do
  :: n < 2 ->
     n++;
     if :: atomic { place == TAKEN -> t = tg } :: fin -> break fi;
     atomic { v = (TAG != t -> IDLE : st); if :: v == ABRT -> v = IDLE :: else fi }
     if
     :: v == ACTIVE
     :: else ->
#ifndef NO_ANNOUNCE
        said[me] = 1 + t;
#endif
        if
        :: place == TAKEN && tg == t ->
#ifndef JUDGE_ONCE
           atomic { v = (TAG != t -> IDLE : st); if :: v == ABRT -> v = IDLE :: else fi }
#endif
           if
           :: v == COMM -> cas(t, GONE)
           :: v == IDLE ->
#ifndef MARK_LATE
              marked[t] = true;
#endif
              cas(t, FULL);
#ifdef MARK_LATE
              marked[t] = true;
#endif
           :: else
           fi
        :: else
        fi;
        said[me] = 0
     fi
  :: else -> break
  od
}

init {
  atomic { run Owner(); run Helper(1); run Helper(2) }
  (fin && _nr_pr == 1);
  assert(got + (place == FULL || (place == TAKEN && (st == IDLE))) == 1)
}
