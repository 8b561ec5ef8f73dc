/* Rows of participants: claim, leave, die, bury, reuse (design 3 "Liveness"; code: segment/participant.rs `try_claim_row`, `Participant::drop`,
   `slot_owner_is_dead`; segment/burial.rs). One row, one slot. The kernel's lock of a process is the array `lives`: what it says is final.

   Process 1 joins, works on its slot, leaves or dies anywhere, JOINS times. Processes 2 and 3 see it dead and bury it, recover what it left, and join; 2 may die
   anywhere in that, 3 may not.
   Checked: no two who live have the row or the slot at once; who lives is never buried or taken for dead; a slot is given away only when
   idle, and what was left undone is seen as a dead one's until it is recovered.

   Mutants (-D)        what is wrong
   FREE_FIRST          the row is freed before the slots
   NO_ROLE             two buriers at once
   DEAD_BEFORE_ROLE    "is it dead?" is asked before the role is taken
   LOOK_ONCE           "is the slot's owner dead?" does not look at the slot again */
#ifndef JOINS
#define JOINS 1
#endif
#define NPROC 4
mtype = { FREE, CLAIMED, LEAVING, ABANDONED };
bool lives[NPROC];
/* the row's state: one word */
mtype use = FREE; byte gen, member;
/* the slot */
byte cgen; bool claimed, busy;
byte burier;                            /* the role */
byte inrow;                             /* who lives and is in the row; 0 nobody */
bool fin1, fin3;

#define SEES(u, tenant, m) (use == u && gen == tenant && member == m)
#define DEADROW(u, m) (u == ABANDONED || (u != FREE && !lives[m]))
#define DIE if :: mayCrash -> atomic { lives[me] = false; if :: inrow == me -> inrow = 0 :: else fi; goto stop } :: skip fi

/* joined: the row and its slot are this process's, with generation g */
inline join() {
  joined = false;
  if
  :: atomic { use == FREE -> gen++; use = CLAIMED; member = me; g = gen; assert(inrow == 0); inrow = me }
     DIE;
     if
     :: atomic { !claimed -> claimed = true; cgen = g; assert(!busy); joined = true }
     :: else -> atomic { assert(inrow == me); use = FREE; inrow = 0 }     /* cannot happen with one slot for each row: give it back */
     fi
  :: else
  fi
}

/* Slots, then the row, unless a slot is busy; a row that its tenant leaves is abandoned then. */
inline give_back(g0) {
#ifdef FREE_FIRST
  atomic { assert(inrow == 0); use = FREE };
  DIE;
#endif
  if
  :: claimed && cgen == g0 && busy -> if :: u == CLAIMED && use == LEAVING -> use = ABANDONED :: else fi
  :: else ->
     DIE;
     atomic { if :: claimed && cgen == g0 -> assert(!busy && (inrow == 0 || inrow == me)); claimed = false :: else fi }
     DIE;
#ifndef FREE_FIRST
     atomic { assert(inrow == 0); use = FREE }
#endif
  fi
}

inline leave() {
  atomic { if :: SEES(CLAIMED, g, me) -> use = LEAVING; inrow = 0; joined = true; u = CLAIMED :: else -> joined = false fi };
  if :: joined -> DIE; give_back(g) :: else fi
}

/* Who has the role of the burier asks whether the row's tenant is dead; slots, then the row; the role goes last. */
inline bury() {
#ifdef DEAD_BEFORE_ROLE
  atomic { u = use; g0 = gen; m = member };
  dead = (u != FREE && DEADROW(u, m));
#endif
#ifdef NO_ROLE
  won = true;
#else
  now = burier;
  if
  :: now != 0 && lives[now] -> won = false
  :: else -> atomic { if :: burier == now -> burier = me; won = true :: else -> won = false fi }
  fi;
#endif
  if
  :: won ->
     DIE;
#ifndef DEAD_BEFORE_ROLE
     atomic { u = use; g0 = gen; m = member };
     dead = (u != FREE && DEADROW(u, m));
#endif
     if :: dead -> DIE; give_back(g0) :: else fi;
     DIE;
     burier = 0
  :: else
  fi
}

/* slot_owner_is_dead, then recovery: the slot is idle afterwards */
inline recover() {
  atomic { won = claimed; g0 = cgen }
  if
  :: won ->
     atomic { u = use; g1 = gen; m = member }
     dead = (g1 != g0 || DEADROW(u, m));
#ifndef LOOK_ONCE
     if :: claimed && cgen == g0 -> skip :: else -> dead = false fi;
#endif
     if
     :: dead -> atomic { if :: claimed && cgen == g0 && busy -> assert(inrow == 0 || gen != cgen); busy = false
#ifdef LOOK_ONCE
                            :: claimed && cgen != g0 && busy -> assert(inrow == 0); busy = false
#endif
                            :: else fi }
     :: else
     fi
  :: else
  fi
}

proctype First(byte me; bool mayCrash) {
  byte g, g0, g1, m, n, now; mtype u; bool joined, dead, won;
  do
  :: n < JOINS ->
     n++;
     join();
     if
     :: joined ->
        DIE;
        busy = true;
        DIE;
        assert(SEES(CLAIMED, g, me) && claimed && cgen == g);
        busy = false;
        leave()
     :: else
     fi
  :: else -> break
  od;
stop: fin1 = true
}

proctype Other(byte me; bool mayCrash) {
  byte g, g0, g1, m, now; mtype u; bool joined, dead, won;
  do
  :: recover()
  :: bury()
  :: join();
     if
     :: joined ->
        busy = true;
        DIE;
        atomic { assert(SEES(CLAIMED, g, me) && claimed && cgen == g && busy); busy = false };
        leave();
        break
     :: else
     fi
  :: !mayCrash && fin1 && use == FREE && !claimed -> break
  :: mayCrash -> break
  od;
stop: if :: me == 3 -> fin3 = true :: else fi
}

init {
  atomic { lives[1] = true; lives[2] = true; lives[3] = true; run First(1, true); run Other(2, true); run Other(3, false) }
  (fin3)
}
