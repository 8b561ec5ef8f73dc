/* Who may recover a slot, and when it is given to somebody else (design 5 "Recovery"; code: txn/recover.rs, segment/burial.rs,
   segment/participant.rs `claim_slot`). An incarnation here is one life of a process with one thread.

   Incarnation 1 owns slot 1 and dies somewhere in a single operation on the word. Incarnation 2 (slot 2) may die anywhere in its
   recovery of slot 1; incarnation 3 (slot 3) lives and may be slow. Whoever is dead and IDLE can be buried at any time, and incarnation 4 claims
   a slot that has become free, and works on the word. Checked: a live owner keeps its word and its status; somebody can always
   finish what a dead one left (no deadlock).

   Mutants (-D)        what is wrong
   ROLE_IS_SLOT        the role names the recoverer's slot, not its incarnation
   DEAD_FIRST          "is its owner dead?" is asked before the status is loaded
   NO_ROLE             no role at all
   BURY_BUSY           a slot that is not IDLE is buried too */
mtype = { IDLE, DIRECT };
typedef Slot { mtype st; byte seq; byte claimed; byte role; bool intent };
Slot s[4];
bool dead[5];                           /* by incarnation; what the kernel says */
byte owner, tag, ver; bit C;
bool fin1, fin4;

#ifdef ROLE_IS_SLOT
#define NAME(inc, slot) slot
#define ROLE_DEAD(r) (s[r].claimed != 0 && dead[s[r].claimed])
#else
#define NAME(inc, slot) inc
#define ROLE_DEAD(r) (dead[r])
#endif
#ifdef BURY_BUSY
#define BURIABLE(x) true
#else
#define BURIABLE(x) (s[x].st == IDLE)
#endif
#define OWNER_DEAD(x) (s[x].claimed != 0 && dead[s[x].claimed])

#define CRASH(inc, mayCrash) if :: mayCrash -> dead[inc] = true; goto stop :: skip fi

/* One attempt of incarnation inc, on its own slot mine, to recover slot y. */
inline recover(inc, mine, y, mayCrash) {
  now = s[y].role;
#ifdef NO_ROLE
  ok = true;
#else
  if
  :: now != 0 && !ROLE_DEAD(now) -> ok = false
  :: else -> atomic { if :: s[y].role == now -> s[y].role = NAME(inc, mine); ok = true :: else -> ok = false fi }
  fi;
#endif
  if
  :: ok ->
     CRASH(inc, mayCrash);
#ifdef DEAD_FIRST
     ok = OWNER_DEAD(y);
     atomic { st = s[y].st; q = s[y].seq }
#else
     atomic { st = s[y].st; q = s[y].seq }
     if :: st == IDLE -> ok = false :: else -> ok = OWNER_DEAD(y) fi;
     /* the same state twice, not at rest: the verdict is about this owner, and stays true */
     if :: s[y].st != st || s[y].seq != q -> ok = false :: else fi;
#endif
     if
     :: ok ->
        if
        :: st == DIRECT && s[y].intent ->
           atomic { if :: owner == y && tag == q -> owner = 0; tag = 0; ver = ver + C; C = 0 :: else fi }
        :: else
        fi;
        CRASH(inc, mayCrash);
        if :: st != IDLE -> atomic { s[y].st = IDLE; s[y].seq = q + 1 } :: else fi;
        CRASH(inc, mayCrash)
     :: else
     fi;
     s[y].role = 0
  :: else
  fi
}

/* A single operation of incarnation inc on slot x. */
inline operate(inc, x, mayCrash) {
  s[x].intent = true;
  atomic { q = s[x].seq; s[x].st = DIRECT }
  CRASH(inc, mayCrash);
  atomic { if :: owner == 0 && C == 0 -> owner = x; tag = q; C = 1; v = ver; ok = true :: else -> ok = false fi }
  if
  :: ok ->
     CRASH(inc, mayCrash);
     assert(s[x].st == DIRECT && s[x].seq == q);
     atomic { assert(owner == x && tag == q && C); owner = 0; tag = 0; C = 0; ver = v + 1 }
  :: else
  fi;
  CRASH(inc, mayCrash);
  atomic { assert(s[x].st == DIRECT && s[x].seq == q); s[x].seq++; s[x].st = IDLE }
}

proctype First() {
  byte q, v; bool ok;
  operate(1, 1, true);
  dead[1] = true;
stop: fin1 = true
}

/* Meets the word of slot 1 and recovers it, once: in the end incarnation 4 looks after what is left. */
proctype Recoverer(byte inc; byte mine; bool mayCrash) {
  byte now, q; mtype st; bool ok;
  if :: (dead[1] && (owner == 1 || s[1].st != IDLE)) :: fin4 -> goto stop fi;
  recover(inc, mine, 1, mayCrash);
stop: skip
}

/* bury: rows of the dead whose slots are IDLE go to whoever joins next. */
proctype Bury() {
  byte x, who;
  do
  :: atomic { (s[1].claimed != 0 && dead[s[1].claimed] && BURIABLE(1)) -> x = 1; who = s[1].claimed }
     atomic { if :: s[x].claimed == who && BURIABLE(x) -> s[x].claimed = 0 :: else fi }
  :: atomic { (s[2].claimed != 0 && dead[s[2].claimed] && BURIABLE(2)) -> x = 2; who = s[2].claimed }
     atomic { if :: s[x].claimed == who && BURIABLE(x) -> s[x].claimed = 0 :: else fi }
  :: fin4 -> break
  od
}

proctype Late() {
  byte x, q, v, now; mtype st; bool ok;
  if
  :: atomic { s[1].claimed == 0 -> s[1].claimed = 4; x = 1 }
  :: atomic { s[2].claimed == 0 -> s[2].claimed = 4; x = 2 }
  :: atomic { s[0].claimed = 4; x = 0 }        /* a slot that was free: number 0 stands for it, and works on nothing */
  fi;
  if :: x != 0 -> operate(4, x, false) :: else fi;
  /* what is left of incarnation 1, if any is met: recovered, or somebody who lives is at it */
  do
  :: atomic { (fin1 && (s[1].claimed != 1 || s[1].st == IDLE) && owner != 1) -> break }
  :: atomic { (fin1 && s[1].claimed == 1 && s[1].st != IDLE) -> skip }
     recover(4, x, 1, false);
#ifndef NO_ROLE
     /* somebody else is at it: wait for a change */
     ((s[1].claimed != 1 || s[1].st == IDLE) || s[1].role == 0 || ROLE_DEAD(s[1].role))
#endif
  od;
  fin4 = true;
stop: skip
}

init {
  byte i;
  atomic {
    s[0].st = IDLE; s[1].st = IDLE; s[2].st = IDLE; s[3].st = IDLE;
    s[1].claimed = 1; s[2].claimed = 2; s[3].claimed = 3;
    run First(); run Recoverer(2, 2, true); run Recoverer(3, 3, false); run Bury(); run Late() }
  (fin4);
  assert(owner != 1 || s[1].claimed == 4)
}
