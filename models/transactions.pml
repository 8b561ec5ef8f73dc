/* The commit protocol (design 5, steps 1 to 9; code: txn/transaction.rs, reserve.rs, commit.rs, recover.rs).
   Two workers move 1 from object 0 to object 1, with wound-wait ages: worker 1 is the elder. The worker VICT may die at any step;
   recoverer 8 may die too, recoverer 9 goes on. READER: None, Reader1, Reader2 (one look at C and one load per cell), Snap (a validated
   read of both). BARGE: after how many aborts a worker reserves before it reads. TX2: transactions of worker 2. MAXAB: aborts before giving up.
   Checked: no mixed snapshot (x0 + x1 == 20), atomicity and no stuck word at the end, the elder never aborts while it
   reserves first, single-check readers never see half a commit.

   Mutants (-D)        what is wrong
   REDO_BLIND          the recoverer stores groups that are no longer owned
   LIST_LATE           a word is listed after the CAS that reserves it
   DECIDE_BLIND        the decision is a store, not a CAS from PREPARING
   SKIP_CHECK          a read does not look at the word again */
#ifndef MAXC
#define MAXC 1
#endif
#ifndef TX2
#define TX2 1
#endif
#ifndef VICT
#define VICT 1
#endif
#ifndef READER
#define READER None
#endif
#ifndef BARGE
#define BARGE 1
#endif
#ifndef MAXAB
#define MAXAB 2
#endif
#ifndef NW
#define NW 2
#endif
mtype = { IDLE, ACTIVE, PREP, COMM, ABRT };
typedef Obj { byte owner; byte tg; bit C; byte ver; byte val };
typedef Slot { mtype st; byte seq; bool dead; bool fin; bool lk[2]; byte wv; byte nv[2]; byte racq; };
Obj o[2]; Slot s[4]; byte clk = 0; bool r1dead = false; byte crashes = 0; byte done = 0; byte commits = 0;

/* Whoever takes the owner off: C never goes from 1 to 0 without a new version. */
#define MAX(a, b) (a > b -> a : b)
#define STRIP(k) if :: o[k].C == 1 -> o[k].ver = MAX(clk, o[k].ver) + 1 :: else -> skip fi; o[k].owner = 0; o[k].C = 0
#ifdef REDO_BLIND
#define BLIND true
#else
#define BLIND false
#endif

#define CRASHPT if :: (crashes < MAXC && mayCrash) -> atomic { crashes++; s[me].dead = true; goto stop } :: skip fi

#define MINE(k) (o[k].owner == me && o[k].tg == s[me].seq)
proctype Worker(byte me; bool mayCrash) {
  byte i, q, rv, v0, v1, w, x0, x1, qs; mtype st; bool ok; byte aborts = 0, cnt = 0; bool barge = false;
restart:
  atomic { s[me].st = ACTIVE; s[me].seq++; s[me].lk[0] = false; s[me].lk[1] = false; rv = clk }
  CRASHPT;
  /* read (or barge-reserve) both objects in worker specific order */
  ok = true;
  i = (me == 1 -> 0 : 1);
  /* ---- first read ---- */
rd:
  if :: (barge) -> goto res
     :: else -> skip fi;
rdagain:
  atomic { w = o[i].ver; q = o[i].owner;
    if :: (o[i].C == 1 && !MINE(i)) -> w = 255 :: else -> skip fi }
  if :: (w == 255) ->
        /* changing: wait for owner, or steal from aborted */
        if :: (s[me].st == ABRT) -> goto abort
           :: atomic { (o[i].C == 0 || MINE(i)) -> skip }
           :: atomic { (o[i].C == 1 && !MINE(i) && s[o[i].owner].st == ABRT) -> STRIP(i) }
           :: atomic { (o[i].C == 1 && !MINE(i) && o[i].owner > me && s[o[i].owner].st == PREP) -> s[o[i].owner].st = ABRT }
        fi; goto rdagain
     :: else -> skip fi;
  if :: (i == 0) -> x0 = o[0].val :: else -> x1 = o[1].val fi;
  CRASHPT;
#ifndef SKIP_CHECK
  if :: (o[i].ver != w || (o[i].C == 1 && !MINE(i))) -> goto rdagain :: else -> skip fi;
#endif
  if :: (i == 0) -> v0 = w :: else -> v1 = w fi;
  if :: (w > rv) -> /* extend: only the other object can have been read already */
        atomic { clk = MAX(clk, w); rv = clk }
        if :: (i == 1 && me == 1) -> atomic { if :: (o[0].ver != v0 || (o[0].C == 1 && !MINE(0))) -> ok = false :: else -> skip fi }
           :: (i == 0 && me == 2) -> atomic { if :: (o[1].ver != v1 || (o[1].C == 1 && !MINE(1))) -> ok = false :: else -> skip fi }
           :: else -> skip fi;
        if :: (!ok) -> goto abort :: else -> goto rdagain fi   /* re-read the current object under the new rv */
     :: else -> skip fi;
  if :: (me == 1 && i == 0) -> i = 1; goto rd
     :: (me == 2 && i == 1) -> i = 0; goto rd
     :: else -> skip fi;
  assert(x0 + x1 == 20);   /* opacity: no zombie snapshot */
  i = (me == 1 -> 0 : 1);
  /* ---- reserve ---- */
res:
#ifndef LIST_LATE
  s[me].lk[i] = true;                      /* listed before the CAS */
  CRASHPT;
#endif
resagain:
  if :: (s[me].st == ABRT) -> goto abort :: else -> skip fi;
  if :: atomic { (o[i].owner == 0) -> o[i].owner = me; o[i].tg = s[me].seq }
     :: atomic { (MINE(i)) -> skip }
     :: atomic { (o[i].owner == me && !MINE(i)) -> STRIP(i) } goto resagain
     :: (o[i].owner != 0 && o[i].owner != me) ->
        atomic { q = o[i].owner; if :: (q != 0) -> st = s[q].st; qs = s[q].seq; if :: (o[i].tg != qs) -> st = ABRT; qs = o[i].tg :: else -> skip fi :: else -> st = IDLE fi }
        if :: (q == 0 || q == me) -> skip
           :: (q != 0 && q != me && (st == ABRT)) -> /* steal exactly the sampled attempt */
              atomic { if :: (o[i].owner == q && o[i].tg == qs) -> STRIP(i) :: else -> skip fi }
           :: (q != 0 && q != me && (st == ACTIVE || st == PREP) && me < q) ->
              atomic { if :: (s[q].seq == qs && (s[q].st == ACTIVE || s[q].st == PREP)) -> s[q].st = ABRT :: else -> skip fi }
           :: (q != 0 && q != me && !(st == ABRT) && !((st == ACTIVE || st == PREP) && me < q)) ->
              /* younger waits for the winner or for commit to finish */
              (o[i].owner != q || s[q].seq != qs || s[q].st == ABRT || s[me].st == ABRT)
        fi; goto resagain
  fi;
  CRASHPT;
#ifdef LIST_LATE
  s[me].lk[i] = true;
#endif
  if :: (barge) -> /* read under reservation */
        atomic { if :: (MINE(i)) -> if :: (i == 0) -> x0 = o[0].val; v0 = o[0].ver :: else -> x1 = o[1].val; v1 = o[1].ver fi :: else -> ok = false fi }
        if :: (!ok || s[me].st == ABRT) -> goto abort :: else -> skip fi;
        if :: ((me == 1 && i == 1) || (me == 2 && i == 0)) -> assert(x0 + x1 == 20) :: else -> skip fi
     :: else -> skip fi;
  if :: (me == 1 && i == 0) -> i = 1; if :: (barge) -> goto rd :: else -> goto res fi
     :: (me == 2 && i == 1) -> i = 0; if :: (barge) -> goto rd :: else -> goto res fi
     :: else -> skip fi;
  /* ---- redo log ---- */
  s[me].nv[0] = x0 - 1; s[me].nv[1] = x1 + 1;
  CRASHPT;
  /* ---- prepare ---- */
  atomic { if :: (s[me].st == ACTIVE) -> s[me].st = PREP :: else -> ok = false fi }
  if :: (!ok) -> goto abort :: else -> skip fi;
  CRASHPT;
  i = 0;
setc:
  if :: (s[me].st == ABRT) -> goto abort :: else -> skip fi;
  /* exactly as it was reserved; else it was stolen */
  atomic { if :: (MINE(i) && o[i].C == 0 && o[i].ver == (i == 0 -> v0 : v1)) -> o[i].C = 1 :: else -> goto abort fi }
  CRASHPT;
  if :: (i == 0) -> i = 1; goto setc :: else -> skip fi;
  atomic { s[me].wv = MAX(clk, MAX(v0, v1)) + 1; clk++ }
  CRASHPT;
  /* decision */
#ifdef DECIDE_BLIND
  atomic { s[me].st = COMM; commits++ }
#else
  atomic { if :: (s[me].st == PREP) -> s[me].st = COMM; commits++ :: else -> ok = false fi }
#endif
  if :: (!ok) -> goto abort :: else -> skip fi;
  CRASHPT;
  /* apply */
  o[0].val = s[me].nv[0];
  CRASHPT;
  o[1].val = s[me].nv[1];
  CRASHPT;
  atomic { o[0].ver = s[me].wv; o[0].owner = 0; o[0].C = 0 }
  CRASHPT;
  atomic { o[1].ver = s[me].wv; o[1].owner = 0; o[1].C = 0 }
  CRASHPT;
  if :: (me == 2 && cnt + 1 < TX2) -> atomic { cnt++; s[me].st = IDLE; aborts = 0; barge = false } goto restart :: else -> skip fi;
  atomic { s[me].st = IDLE; s[me].fin = true; s[me].seq++; done++ }
  goto stop;
abort:
  ok = true;
  atomic { if :: (s[me].st != ABRT) -> s[me].st = ABRT :: else -> skip fi }
  CRASHPT;
  i = 0;
  do :: (i < 2) -> atomic { if :: (s[me].lk[i] && MINE(i)) -> STRIP(i) :: else -> skip fi } i++
     :: else -> break od;
  assert(!(me == 1 && barge));      /* the oldest commits in its first barging attempt */
  aborts++;
  if :: (aborts >= BARGE) -> barge = true :: else -> skip fi;
  if :: (aborts >= MAXAB) -> atomic { s[me].st = IDLE; s[me].fin = true; s[me].seq++; done++ } goto stop :: else -> skip fi;
  goto restart;
stop: skip
}

proctype Recover(byte me; bool mayCrash; byte victim) {
  byte i = 0;
  (s[victim].dead || done + crashes >= NW);
  if :: (!s[victim].dead) -> goto stop :: else -> skip fi;
  if :: (me == 9) -> (r1dead || s[victim].fin); if :: (s[victim].fin) -> goto stop :: else -> skip fi :: else -> skip fi;
  atomic { if :: (s[victim].st == ACTIVE || s[victim].st == PREP) -> s[victim].st = ABRT :: else -> skip fi }
  if :: (mayCrash) -> r1dead = true; goto stop :: skip fi;
  if :: (s[victim].st == COMM) ->
     /* all groups that are still owned, then their words */
     do :: (i < 2) ->
        if :: (o[i].owner == victim && o[i].C == 1) || BLIND -> o[i].val = s[victim].nv[i]
           :: else -> skip fi;
        if :: (mayCrash) -> r1dead = true; goto stop :: skip fi;
        i++
     :: else -> break od;
     i = 0;
     do :: (i < 2) ->
        if :: (o[i].owner == victim && o[i].C == 1) -> atomic { o[i].ver = s[victim].wv; o[i].owner = 0; o[i].C = 0 }
           :: else -> skip fi;
        if :: (mayCrash) -> r1dead = true; goto stop :: skip fi;
        i++
     :: else -> break od
  :: else -> skip fi;
  i = 0;
  do :: (i < 2) -> atomic { if :: (s[victim].lk[i] && o[i].owner == victim) -> STRIP(i) :: else -> skip fi } i++
     :: else -> break od;
  atomic { s[victim].st = IDLE; s[victim].seq++; s[victim].fin = true }
stop: skip
}

/* rule (1): one changing-check then one plain read per cell, A first then B */
proctype Reader1() { byte a, b;
  (o[0].C == 0); a = o[0].val;
  (o[1].C == 0); b = o[1].val;
  assert((b - 10) >= (10 - a));
}
proctype Reader2() { byte a, b;
  (o[1].C == 0); b = o[1].val;
  (o[0].C == 0); a = o[0].val;
  assert((10 - a) >= (b - 10));
}
/* validated two-object snapshot */
proctype None() { skip }
proctype Snap() { byte a, b, va, vb;
again:
  atomic { (o[0].C == 0) -> va = o[0].ver } a = o[0].val;
  atomic { (o[1].C == 0) -> vb = o[1].ver } b = o[1].val;
  atomic { if :: (o[0].ver == va && o[0].C == 0 && o[1].ver == vb && o[1].C == 0) -> skip :: else -> goto again fi }
  assert(a + b == 20);
}
init {
  atomic { o[0].val = 10; o[1].val = 10; s[1].st = IDLE; s[2].st = IDLE;
    run Worker(1, VICT == 1); run Worker(2, VICT == 2);
    run Recover(8, true, VICT); run Recover(9, false, VICT);
    run READER();
  }
  ((s[1].fin) && (s[2].fin));
  assert(o[0].val == 10 - commits && o[1].val == 10 + commits);
  assert(o[0].owner == 0 && o[1].owner == 0 && o[0].C == 0 && o[1].C == 0);
}
