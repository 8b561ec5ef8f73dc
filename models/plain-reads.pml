/* Plain reads of an undecided commit (design 5 "Plain reads of an undecided commit do not wait"; code:
   txn/snapshot.rs `check`, commit.rs). A transaction reads x and writes y; a process writes x by a single operation, then reads y by another.

   Checked: not (the transaction has read the old x, and the process, after it has written x, the old y): in that outcome the
   read of y is before the transaction, the transaction before the write of x, and the write of x before the read of y.

   Mutants (-D)        what is wrong
   READ_OLD            the read goes past any owner that is PREPARING, also one that has drawn its version (docs/decisions/0008)
   DRAW_LATE           the owner says that it draws its version after it has validated its reads */
mtype = { IDLE, ACTIVE, PREP, COMM, ABRT };
mtype st = IDLE;
byte x, y, xver, yver; bit xC, yC;
byte tx = 9, ry = 9; bool drawn, done, fin;

proctype T() {
  byte v, a;
  st = ACTIVE;
  atomic { !xC -> v = xver };
  a = x;
  if :: xC || xver != v -> goto abort :: else fi;
  atomic { if :: st == ACTIVE -> st = PREP :: else -> goto abort fi };
  yC = 1;
#ifndef DRAW_LATE
  drawn = true;
#endif
  /* validate */
  if :: xC || xver != v -> goto abort :: else fi;
#ifdef DRAW_LATE
  drawn = true;
#endif
  atomic { if :: st == PREP -> st = COMM; tx = a :: else -> goto abort fi };
  y = 1;
  atomic { yC = 0; yver++ };
  st = IDLE;
  goto stop;
abort:
  st = ABRT;
  atomic { if :: yC -> yC = 0; yver++ :: else fi };
stop:
  done = true
}

inline plain_read(into) {
  c = 0;
again:
  atomic { v = yver; c = yC; s = st };
  if
  :: c && s == PREP ->
     into = y;
     d = drawn;
#ifdef READ_OLD
     d = false;
#endif
     if
     :: !d && st == PREP && yC && yver == v
     :: else ->
        /* waits, and after its patience aborts it */
        atomic { if :: st == PREP -> st = ABRT :: else fi };
        goto again
     fi
  :: c && s == ABRT -> atomic { if :: yC && yver == v && st == ABRT -> yC = 0; yver++ :: else fi }; goto again
  :: c && s != PREP && s != ABRT -> (!yC); goto again
  :: !c ->
     into = y;
     if :: yC || yver != v -> goto again :: else fi
  fi
}

proctype P() {
  byte v; bit c; bool d; mtype s;
  atomic { !xC -> xC = 1 };
  x = 1;
  atomic { xC = 0; xver++ };
  plain_read(ry);
  fin = true
}

init {
  atomic { run T(); run P() }
  (done && fin);
  assert(!(tx == 0 && ry == 0));
  assert(ry == 0 || y == 1)
}
