/* Puts and takes on the ring of a channel, alone and in transactions, with crash (design 8; code: queue/fifo.rs, judge.rs, party.rs,
   rings.rs). Places are used once; tags do not wrap (see ring-tags.pml).

   slot 1  a transaction that puts the messages 1 and 2 (PUTTING in step 5, FULL after the decision), then a lone put of 3  (-DPUTTER)
           without it 1 and 2 are there from the start
   slot 2  a transaction that takes two (TAKEN at once; commit, or abort: back in their places)                             (-DTAKER)
   slot 3  lone takes, twice: DIRECT, FULL -> TAKEN -> consumed; or, of an integer, which is nothing but its word: FULL -> consumed
   VICT    the slot whose owner may die at any step; recoverer 8 may die too, recoverer 9 goes on
   Takers may abort undecided owners that are in the way at any time.

   Checked: every message of a committed put is delivered once or still there, of an aborted one never; both or none; an earlier message of
   the producer is not passed over when it is there.

   Mutants (-D)        what is wrong
   NO_LOOK_AGAIN       places passed over are not looked at again before the CAS
   NO_THIRD_LOOK       a place passed over whose owner has gone on counts as a tombstone, though it may be put by now
   RECOVER_NO_PLACES   recovery sets IDLE without settling the places of the dead
   RECOVER_STORE       recovery stores FULL instead of a CAS from PUTTING
   FULL_EARLY          step 5 puts FULL instead of PUTTING
   CONSUME_EARLY       the transaction consumes before its decision
   IDLE_EARLY          the putter goes IDLE before its places are FULL
   STEAL_DIRECT        the TAKEN of a living lone taker is given back */
#ifndef VICT
#define VICT 0
#endif
#define NP 4
#ifdef STEAL_DIRECT
#define STEAL true
#else
#define STEAL false
#endif
mtype = { EMPTY, PUTTING, FULL, TAKEN, GONE, IDLE, ACTIVE, PREP, COMM, ABRT, DIRECT };
typedef Place { mtype st; byte own, tag, msg };
typedef Slot { mtype st; byte seq; bool dead, fin; byte role };
Place p[NP]; Slot s[4];
bool put[4];                            /* the message's put has taken effect */
byte got[4];                            /* how often it was delivered */
bool returned, r1dead, aborted;

#define UNDECIDED(o, t) (s[o].seq == t && (s[o].st == ACTIVE || s[o].st == PREP))
#define IS(o, t, x) (s[o].seq == t && s[o].st == x)
#define OVER(o, t) (s[o].seq != t || s[o].st == ABRT || s[o].st == IDLE)
#define CRASH if :: (me == VICT) -> s[me].dead = true; goto stop :: skip fi
#define RCRASH if :: (me == 8) -> r1dead = true; goto stop :: skip fi
#define SAME(i, o, t, x) (p[i].st == x && p[i].own == o && p[i].tag == t)

inline to(i, x) { d_step { p[i].st = x; p[i].own = 0; p[i].tag = 0 } }
inline cas(i, o, t, x, y) { atomic { if :: SAME(i, o, t, x) -> to(i, y); if :: x == TAKEN && y == FULL -> returned = true :: else fi :: else fi } }

/* Settles place i, found in state x with owner o and tag t, if it can be: decided = true. */
inline settle(i, x, o, t) {
  atomic {
    decided = true; y = EMPTY;
    if
    :: IS(o, t, COMM) -> y = (x == PUTTING -> FULL : GONE)
    :: OVER(o, t) -> y = (x == PUTTING -> GONE : FULL)
    :: IS(o, t, DIRECT) && (s[o].dead || STEAL) -> y = (x == PUTTING -> GONE : FULL)
    :: else -> decided = false
    fi }
  if :: decided -> cas(i, o, t, x, y) :: else fi
}

/* The first message that `me` can take: found = its place, NP: none. mine: places of this attempt are as good as consumed. */
inline look() {
  i = 0;
again:
  atomic { i = 0; found = NP; j = 0; do :: j < NP -> past[j] = false; j++ :: else -> break od; j = 0 }
  do
  :: i == NP -> break
  :: else ->
     atomic { x = p[i].st; o = p[i].own; t = p[i].tag }
     if
     :: x == FULL -> found = i; break
     :: x == EMPTY -> break
     :: x == GONE || (x == TAKEN && o == me) -> i++
     :: (x == PUTTING || (x == TAKEN && o != me)) ->
        if
        :: UNDECIDED(o, t) -> atomic { if :: UNDECIDED(o, t) -> s[o].st = ABRT; aborted = true :: else fi }   /* overrule */
        :: skip
        fi;
        settle(i, x, o, t);
        if :: decided -> goto again :: else -> d_step { past[i] = true; pst[i] = x; po[i] = o; pt[i] = t; i++ } fi
     fi
  od;
#ifndef NO_LOOK_AGAIN
  j = 0;
  do
  :: j == NP -> break
  :: j < NP && !past[j] -> j++
  :: j < NP && past[j] ->
     atomic { x = p[j].st; o = p[j].own; t = p[j].tag }
     if
     :: x == pst[j] && o == po[j] && t == pt[j] ->
        if
        :: UNDECIDED(o, t) || IS(o, t, DIRECT) || (x == TAKEN && IS(o, t, COMM)) -> j++
        :: x == PUTTING && OVER(o, t) ->    /* a tombstone, or put since, and its owner has gone on */
#ifdef NO_THIRD_LOOK
           j++
#else
           if :: SAME(j, o, t, x) -> j++ :: else -> goto again fi
#endif
        :: else -> goto again
        fi
     :: else -> if :: x == GONE -> j++ :: else -> goto again fi
     fi
  od
#endif
}

/* Earlier messages than the found one must not be there, unless one has come back. */
inline in_order() {
  d_step { j = 0; do
  :: j < found -> assert(returned || !(p[j].st == FULL && p[j].msg < p[found].msg && put[p[j].msg]));
                  assert(returned || !(p[j].st == PUTTING && IS(p[j].own, p[j].tag, COMM) && p[j].msg < p[found].msg)); j++
  :: else -> break od; j = 0 }
}

/* FULL -> TAKEN; won = true if nobody was quicker. */
inline take() {
  atomic {
    if
    :: p[found].st == FULL -> p[found].st = TAKEN; p[found].own = me; p[found].tag = s[me].seq; won = true; in_order()
    :: else -> won = false
    fi }
}

/* FULL -> consumed at once. */
inline take_whole() {
  atomic { if :: p[found].st == FULL -> in_order(); to(found, GONE); got[p[found].msg]++; n++ :: else fi }
}

#ifdef PUTTER
/* EMPTY -> what, at the first free place */
inline claim(m, what) {
  i = 0;
  do
  :: atomic { p[i].st == EMPTY -> p[i].st = what; p[i].msg = m; if :: what == PUTTING -> p[i].own = me; p[i].tag = s[me].seq :: else fi; break }
  :: p[i].st != EMPTY -> i++
  od
}
proctype Putter(byte me) {
  byte i, j, x, at[2];
  s[me].st = ACTIVE;
  CRASH;
  atomic { if :: s[me].st == ACTIVE -> s[me].st = PREP :: else -> goto abort fi }
#ifdef FULL_EARLY
  claim(1, FULL); at[0] = i; CRASH; claim(2, FULL); at[1] = i; j = 2;
#else
  claim(1, PUTTING); at[0] = i; j = 1; CRASH;
  claim(2, PUTTING); at[1] = i; j = 2;
#endif
  CRASH;
  if :: goto abort :: skip fi;          /* its validation fails */
  atomic { if :: s[me].st == PREP -> s[me].st = COMM; put[1] = true; put[2] = true :: else -> goto abort fi }
  CRASH;
#ifdef IDLE_EARLY
  s[me].seq++; s[me].st = IDLE;
  cas(at[0], me, s[me].seq - 1, PUTTING, FULL);
  cas(at[1], me, s[me].seq - 1, PUTTING, FULL);
#else
  if :: x = 0 :: x = 1 fi;              /* in any order: a transaction first to last, putMany last to first */
  cas(at[x], me, s[me].seq, PUTTING, FULL);
  CRASH;
  cas(at[1 - x], me, s[me].seq, PUTTING, FULL);
  CRASH;
#endif
  goto idle;
abort:
  s[me].st = ABRT;
  CRASH;
  if :: j > 0 -> cas(at[0], me, s[me].seq, PUTTING, GONE) :: else fi;
  if :: j > 1 -> cas(at[1], me, s[me].seq, PUTTING, GONE) :: else fi;
idle:
#ifndef IDLE_EARLY
  atomic { s[me].seq++; s[me].st = IDLE }
#endif
  atomic { claim(3, FULL); put[3] = true }
  s[me].fin = true;
stop: skip
}
#endif

#ifdef TAKER
proctype Taker(byte me) {
  byte i, j, o, t, found, n, at[2], po[NP], pt[NP]; mtype x, y, pst[NP]; bool past[NP], won, decided;
  s[me].st = ACTIVE;
  do
  :: n < 2 ->
     CRASH;
     if :: s[me].st == ABRT -> goto abort :: else fi;
     look();
     if :: found == NP -> break :: else fi;
     take();
     if :: won -> at[n] = found; n++ :: else fi
  :: n > 0 -> break
  od;
  CRASH;
  if :: goto abort :: skip fi;
  atomic { if :: s[me].st == ACTIVE -> s[me].st = PREP :: else -> goto abort fi }
  CRASH;
#ifdef CONSUME_EARLY
  if :: n > 0 -> cas(at[0], me, s[me].seq, TAKEN, GONE) :: else fi;
  CRASH;
#endif
  atomic { if :: s[me].st == PREP -> s[me].st = COMM;
               if :: n > 0 -> got[p[at[0]].msg]++ :: else fi; if :: n > 1 -> got[p[at[1]].msg]++ :: else fi
           :: else -> goto abort fi }
  CRASH;
  if :: n > 0 -> cas(at[0], me, s[me].seq, TAKEN, GONE) :: else fi;
  CRASH;
  if :: n > 1 -> cas(at[1], me, s[me].seq, TAKEN, GONE) :: else fi;
  goto idle;
abort:
  s[me].st = ABRT;
  if :: n > 0 -> cas(at[0], me, s[me].seq, TAKEN, FULL) :: else fi;
  CRASH;
  if :: n > 1 -> cas(at[1], me, s[me].seq, TAKEN, FULL) :: else fi;
idle:
  CRASH;
  atomic { s[me].seq++; s[me].st = IDLE }
  s[me].fin = true;
stop: skip
}
#endif

proctype Lone(byte me) {
  byte i, j, o, t, found, n, po[NP], pt[NP]; mtype x, y, pst[NP]; bool past[NP], won, decided;
  do
  :: n < 2 ->                           /* an integer */
     look();
     if :: found < NP -> take_whole() :: else -> n = 2 fi;
     CRASH
  :: n < 2 ->
     s[me].st = DIRECT;
     look();
     if
     :: found < NP ->
        take();
        if
        :: won ->
           CRASH;
           atomic { assert(SAME(found, me, s[me].seq, TAKEN)); to(found, GONE); got[p[found].msg]++ };
           n++
        :: else
        fi
     :: else -> n = 2                   /* empty */
     fi;
     CRASH;
     atomic { s[me].seq++; s[me].st = IDLE }
  :: else -> break
  od;
  s[me].fin = true;
stop: skip
}

proctype Recover(byte me) {
  byte i, t; mtype y;
  (s[VICT].dead || s[VICT].fin);
  if :: s[VICT].fin -> goto stop :: else fi;
  if :: me == 8 -> s[VICT].role = 8
     :: me == 9 -> (s[VICT].role == 8 && r1dead || s[VICT].fin); if :: s[VICT].fin -> goto stop :: else fi
  fi;
  RCRASH;
  atomic { if :: s[VICT].st == ACTIVE || s[VICT].st == PREP -> s[VICT].st = ABRT :: else fi; t = s[VICT].seq }
#ifndef RECOVER_NO_PLACES
  do
  :: i < NP ->
     RCRASH;
     if
     :: SAME(i, VICT, t, PUTTING) ->
        y = (s[VICT].st == COMM -> FULL : GONE);
#ifdef RECOVER_STORE
        to(i, y);
#else
        cas(i, VICT, t, PUTTING, y);
#endif
     :: SAME(i, VICT, t, TAKEN) -> y = (s[VICT].st == COMM -> GONE : FULL); cas(i, VICT, t, TAKEN, y)
     :: else
     fi;
     i++
  :: else -> break
  od;
#endif
  RCRASH;
  atomic { s[VICT].seq = t + 1; s[VICT].st = IDLE };
  s[VICT].fin = true;
stop: skip
}

#define THERE(i, m) (p[i].msg == m && (p[i].st == FULL || (p[i].st == TAKEN && OVER(p[i].own, p[i].tag))))
#define COUNT(m) (THERE(0, m) + THERE(1, m) + THERE(2, m) + THERE(3, m))
init {
  atomic {
    s[0].st = IDLE; s[1].st = IDLE; s[2].st = IDLE; s[3].st = IDLE;
    p[0].st = EMPTY; p[1].st = EMPTY; p[2].st = EMPTY; p[3].st = EMPTY;
    s[0].fin = true;
#ifdef PUTTER
    run Putter(1);
#else
    p[0].st = FULL; p[0].msg = 1; p[1].st = FULL; p[1].msg = 2; put[1] = true; put[2] = true;
    s[1].fin = true;
#endif
#ifdef TAKER
    run Taker(2);
#else
    s[2].fin = true;
#endif
    run Lone(3);
    run Recover(8); run Recover(9)
  }
  (s[1].fin && s[2].fin && s[3].fin);
  atomic {
    assert(got[1] + COUNT(1) == put[1]);
    assert(got[2] + COUNT(2) == put[2]);
    assert(got[3] + COUNT(3) == put[3])
  }
}
