/* Freeing a block, its bit, and the sweeper (design 6 "To free is one CAS on word 0"; code: slab/allocator.rs `free_if`, `win`, `clear_bit`,
   `give_life`; slab/recover.rs; the sweeper is the design's). One block with its allocation bit. Process 1 allocates it, links it, unlinks and
   frees it, and may die anywhere. Process 2 takes the block whenever its bit is clear. The sweeper found the block unmarked in an earlier tenancy and
   frees that tenant; and it clears the bit of a block that is free with its bit set, if no live intent names it and it was so at the handshake.

   Checked: no two have the block; who frees it frees the tenant that it means.

   Mutants (-D)        what is wrong
   FREE_NO_VERSION     the CAS that frees does not compare the version
   CLEAR_ALWAYS        who loses the CAS clears the bit too
   NO_HANDSHAKE NO_INTENT   the sweeper has neither a handshake between its two looks nor an eye on intents (each alone will do)
   SWEEP_UNOWNED       the sweeper looks that nobody owns the bitmap word, but does not own it while it clears
   RECOVER_CLEARS      recovery of the dead clears the bit of what it was freeing */
bool bit_ = false, isfree = true; byte ver;     /* allocation bit; word 0 */
byte owner;                                     /* the owner half-word beside the bit */
byte tenant;                                    /* who has it; 0 nobody */
bool intent, intent2, direct[3], dead1, fin1, fin2, ended;

#define DIE(me) if :: me == 1 -> dead1 = true; goto stop :: skip fi

/* owns the bitmap word, takes the bit, gives the block life; won = false: the bit was set */
inline alloc(me) {
  atomic { owner == 0 -> owner = me };
  DIE(me);
  atomic { if :: !bit_ -> bit_ = true; won = true; assert(tenant == 0) :: else -> won = false fi };
  DIE(me);
  if :: won -> atomic { assert(isfree && tenant == 0); isfree = false; ver++; v = ver; tenant = me } :: else fi;
  DIE(me);
  owner = 0
}
/* one CAS on word 0 {v}; only the winner clears the bit */
inline free(v) {
  atomic {
    if
#ifdef FREE_NO_VERSION
    :: !isfree
#else
    :: !isfree && ver == v
#endif
       -> isfree = true; ver++; won = true; assert(v + 1 == ver); tenant = 0
    :: else -> won = false
    fi }
}
inline clear() { atomic { assert(tenant == 0); bit_ = false } }

proctype First() {
  byte v; bool won;
  alloc(1);
  if
  :: won ->
     DIE(1);
     direct[1] = true;
     intent = true;
     DIE(1);
     free(v);
     DIE(1);
#ifdef CLEAR_ALWAYS
     clear();
#else
     if :: won -> clear() :: else fi;
#endif
     DIE(1);
     intent = false;
     direct[1] = false
  :: else
  fi;
stop:
  /* recovery: intents are dropped, bits are left to the sweeper */
  if
  :: dead1 ->
#ifdef RECOVER_CLEARS
     if :: intent && isfree -> skip; bit_ = false :: else fi;
#endif
     intent = false;
     if :: owner == 1 -> owner = 0 :: else fi;
     direct[1] = false
  :: else
  fi;
  fin1 = true
}

proctype Second() {
  bool won; byte v, n;
  do
  :: n < 2 ->
     n++;
     alloc(2);
     if
     :: won -> assert(tenant == 2); if :: direct[2] = true; intent2 = true; free(v); assert(won); clear(); intent2 = false; direct[2] = false :: skip fi; if :: tenant == 2 -> break :: else fi
     :: else
     fi
  :: else -> break
  od;
stop:
  fin2 = true
}

proctype Sweeper() {
  byte v; bool won, stale;
  /* a block that it found unmarked, of the dead or about to be freed: freed if it is still the one that was seen */
  atomic { v = ver; won = (tenant == 1) };
  if
  :: won -> free(v); if :: won -> clear() :: else fi
  :: else
  fi;
  /* a free block with its bit set since the handshake, in a word that nobody owns */
  atomic { stale = (isfree && bit_ && owner == 0); v = ver };
#ifndef NO_HANDSHAKE
  !direct[1];
  !direct[2];
#endif
  if
  :: stale ->
#ifndef NO_INTENT
     if :: intent || intent2 -> goto stop :: else fi;
#endif
#ifdef SWEEP_UNOWNED
     owner == 0;
#else
     atomic { owner == 0 -> owner = 3 };
#endif
     if
     :: isfree && ver == v ->
        if :: bit_ -> atomic { assert(tenant == 0 && (owner == 0 || owner == 3)); bit_ = false } :: else fi
     :: else
     fi;
#ifndef SWEEP_UNOWNED
     owner = 0
#endif
  :: else
  fi;
stop: ended = true
}

init { atomic { run First(); run Second(); run Sweeper() } (fin1 && fin2 && ended) }
