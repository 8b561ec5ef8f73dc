/* Single operations with crash (design 5, "a single operation"; code: txn/direct.rs, txn/recover.rs).

   One version word guards the cells a, b and c. Each operation of a worker stores c (one store, DIRECT) or a and b (intent line,
   COMMITTED). Worker 1 may die at any step; recoverer 8 may die at any step of its recovery, recoverer 9 goes on.
   OPS1, OPS2: operations of the workers. -DONE_RECOVERER: only 9. -DNO_READER.
   Checked: a reader never accepts a torn state; no update is lost; a live owner never loses its word while it stores; what was decided
   happens, what was not does not; nothing stays locked.

   Mutants (-D)        what is wrong
   INTENT_LATE         the intent line is written after the CAS
   STATUS_LATE         the CAS is done with status IDLE
   COMMIT_LATE         the first of two stores comes before COMMITTED
   IDLE_EARLY          status IDLE before the word is released
   REDO_BLIND          the recoverer stores without looking whether the word is still owned
   NO_BUMP             the recoverer releases with the old version
   NO_ROLE             two recoverers at once
   CAS_VERSION         the CAS compares owner and C but not the version */
#define VICT 1
#ifndef OPS1
#define OPS1 1
#endif
#ifndef OPS2
#define OPS2 1
#endif
#ifdef REDO_BLIND
#define CHECK_OWNED 0
#else
#define CHECK_OWNED 1
#endif
mtype = { IDLE, DIRECT, COMM };
typedef Slot { mtype st; byte seq; bool intent; byte la, lb, lver; bool dead; byte role; bool fin };
Slot s[3];
byte owner, tag, ver; bit C;            /* word 0 */
byte a, b, c;                           /* cells */
byte ga, gc;                            /* what they have to be in the end */
bool r1dead;

#define STOREC c = c1; gc++
#define CRASH if :: (me == VICT) -> s[me].dead = true; goto stop :: skip fi
#define RCRASH if :: (me == 8) -> r1dead = true; goto stop :: skip fi
#define MINE (owner == me && tag == s[me].seq && C)

proctype Worker(byte me; byte ops) {
  byte n, v, a1, b1, c1, q, qt; bit qc; bool got, idle;
  do
  :: n == ops -> break
  :: n < ops ->
again:
    /* a validated read: the CAS proves it */
    atomic { v = ver; q = owner; qt = tag; qc = C }
    if
    :: q != 0 || qc ->
       /* judge: word, then status, then the word again */
       atomic { idle = (s[q].seq != qt || s[q].st == IDLE) }
       if
       :: idle -> atomic { if :: (owner == q && tag == qt && C == qc && ver == v) -> owner = 0; tag = 0;
                               if :: C -> ver++ :: else fi; C = 0 :: else fi }
       :: else -> atomic { (owner != q || tag != qt || s[q].seq != qt || s[q].st == IDLE) -> skip }
       fi; goto again
    :: else fi;
    a1 = a + 1; b1 = b + 1; c1 = c + 1;              /* proved by the CAS */
    CRASH;
#ifndef INTENT_LATE
    s[me].intent = true;
#endif
#ifndef STATUS_LATE
    s[me].st = DIRECT;
#endif
    CRASH;
    atomic { if :: (owner == 0 && C == 0
#ifndef CAS_VERSION
                    && ver == v
#endif
                    ) -> owner = me; tag = s[me].seq; C = 1; got = true
             :: else -> got = false fi }
    if :: !got -> atomic { s[me].seq++; s[me].st = IDLE } goto again :: else fi;
    CRASH;
#ifdef INTENT_LATE
    s[me].intent = true;
#endif
#ifdef STATUS_LATE
    s[me].st = DIRECT;
#endif
    assert(MINE);
    if
    :: atomic { assert(MINE); STOREC }
    :: atomic { s[me].la = a1; s[me].lb = b1; s[me].lver = v + 1 }
       CRASH;
#ifdef COMMIT_LATE
       a = a1;
       CRASH;
#endif
       atomic { s[me].st = COMM; ga++ }
       CRASH;
       a = a1;
       CRASH;
       b = b1
    fi;
    CRASH;
#ifdef IDLE_EARLY
    atomic { s[me].seq++; s[me].st = IDLE }
#endif
    atomic {                                        /* a plain store under C = 1 */
#ifndef IDLE_EARLY
      assert(MINE);
#endif
      owner = 0; tag = 0; C = 0; ver = v + 1 }
    CRASH;
#ifndef IDLE_EARLY
    atomic { s[me].seq++; s[me].st = IDLE }
#endif
    CRASH;
    n++
  od;
  s[me].fin = true;
stop: skip
}

proctype Recover(byte me) {
  mtype st; byte t; bool ours;
  (s[VICT].dead || s[VICT].fin);
  if :: s[VICT].fin -> goto stop :: else fi;
  if :: me == 9 -> 
#ifndef NO_ROLE
        atomic { (s[VICT].role == 0 || r1dead) -> s[VICT].role = me }
#endif
        skip
     :: else -> if :: atomic { s[VICT].role == 0 -> s[VICT].role = me } :: (s[VICT].role != 0) -> goto stop fi
  fi;
  RCRASH;
  atomic { st = s[VICT].st; t = s[VICT].seq }
  RCRASH;
  if
  :: st == DIRECT ->
     if :: s[VICT].intent ->
           atomic { if :: (owner == VICT && tag == t) -> owner = 0; tag = 0;
#ifndef NO_BUMP
                          if :: C -> ver++ :: else fi;
#endif
                          C = 0 :: else fi }
        :: else fi
  :: st == COMM ->
     atomic { ours = (owner == VICT && tag == t && C) }
     RCRASH;
     if
     :: (ours || !CHECK_OWNED) ->
        a = s[VICT].la;
        RCRASH;
        b = s[VICT].lb;
        RCRASH;
        if :: ours -> atomic { owner = 0; tag = 0; C = 0; ver = s[VICT].lver } :: else fi
     :: else fi
  :: else fi;
  RCRASH;
  if :: st != IDLE -> atomic { s[VICT].seq = t + 1; s[VICT].st = IDLE } :: else fi;
  RCRASH;
  s[VICT].role = 0;
  s[VICT].fin = true;
stop: skip
}

/* a snapshot: word, cells, word */
proctype Reader() {
  byte v, x, y, z, z2;
  atomic { (C == 0) -> v = ver }
  x = a; z = c; y = b; z2 = c;
  assert(ver != v || C || (x == y && z == z2))     /* accepted only if the word is the same */
}

init {
  atomic { s[1].st = IDLE; s[2].st = IDLE; s[0].st = IDLE;
    run Worker(1, OPS1); run Worker(2, OPS2);
#ifdef ONE_RECOVERER
    r1dead = true;
#else
    run Recover(8);
#endif
    run Recover(9);
#ifndef NO_READER
    run Reader()
#endif
  }
  (s[1].fin && s[2].fin && (_nr_pr == 1 || s[VICT].dead));
  atomic { assert(owner == 0 && C == 0);
    assert(a == ga && b == ga && c == gc) }
}
