"""What people do: verbs by the object they take (F food, O object, P person, L plant, R room, S subject, V venue)."""

from ..core import lexicon

VERBS = {
    "F": lexicon("""
buy, get, order, pick up, fetch, cook, fry, bake, chop, slice, peel, freeze, weigh, serve, taste, prepare, heat up
wash, share out, stock up on, grill, roast, steam, marinate, season, throw out, blend, grate, pack, defrost
"""),
    "O": lexicon("""
clean, repair, paint, move, sell, return, wrap, polish, lend out, measure, photograph, replace, label, dust, collect
unpack, borrow, fix, sand down, oil, store, varnish, post, bring back, take apart, put away, hide, look for, order
weigh, inspect, carry up, give away, lift, hang up, assemble, rinse, sharpen, patch, tighten, donate, test, engrave
register, insure, iron, fold, mend, scrub, charge
"""),
    "P": lexicon("""
call, ring, visit, thank, email, meet, invite, congratulate, text, pay, remind, write to, pick up, interview
check on, apologise to, have lunch with, send flowers to, say hello to, report to, drive home, pay back
play tennis with, introduce, train, help, wait for, walk with, collect, consult
"""),
    "L": lexicon("""
water, prune, trim, plant, repot, weed around, feed, cover, cut back, mulch, spray, tie up, move, check, harvest
deadhead, shade, dig up, thin out, stake
"""),
    "R": lexicon("""
clean, tidy, paint, sweep, air, book, measure, decorate, mop, hoover, empty, photograph, inspect, wallpaper, unlock
reserve, clear out, close, prepare, repaint, set up, scrub
"""),
    "S": lexicon("""
practise, study, revise, teach, read about, sign up for, learn, try, take notes on, watch a film about
give a talk on, cancel, book, plan, discuss, prepare for, write about, pay for
"""),
    "V": lexicon("""
go to, drive to, call, walk to, phone, leave, cycle to, stop at, meet everyone at, send the form to, complain to
find, photograph, visit, pass by, deliver the box to, write to, park near, ask about parking at, wait outside
"""),
}

# Regular verbs, for tense and agreement.
REGULAR = lexicon("""
add, answer, ask, attack, bake, boil, borrow, brush, call, carry, change, chase, check, clean, climb, close, collect
cook, count, cover, cross, dance, deliver, describe, dress, drop, empty, enjoy, enter, explain, fasten, fetch, fill
finish, fix, follow, gather, greet, guard, guess, guide, hammer, help, hire, hunt, invite, iron, jump, kick, kiss
knock, laugh, lift, like, listen, load, lock, look, love, march, mark, measure, mend, miss, mix, move, need, notice
offer, open, order, pack, paint, park, pass, phone, pick, plant, play, polish, pour, praise, print, promise, pull
push, raise, reach, remember, remove, repair, repeat, reply, rescue, rest, return, roll, row, sail, save, scratch
search, shout, sign, smile, sort, stay, study, talk, taste, thank, tie, touch, train, travel, trust, try, turn, use
visit, wait, walk, want, warn, wash, watch, wave, weigh, whisper, wipe, wish, work, wrap
""")

TAIL = lexicon("""
before lunch, after work, this evening, for the party, with the blue form, as promised, before it rains, for grandma
at the corner, on the way home, without fail, if there is time, for the school fair, in the morning
by the back door, for the neighbours, with extra care, before the guests arrive, on the second floor
near the station, for the trip, while it is dry, with the kids, for Tuesday, in front of the shop
as soon as possible, for the new flat, after the meeting, under the stairs, before closing time, for the office
from the attic, in the blue bag, with two copies, for the team, with the spare key, once it stops raining
from the corner shop, at half price, next to the piano, for the choir, by hand, in small boxes, with the receipt
for the winter
""")
