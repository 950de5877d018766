"""Tools with richer arguments: choices, flags, ranges, nested objects, lists, lengths of time, dates from now.

A block: `name description`, then `= heads` (imperatives, parted by `/`), then `argument kind` lines; `?` marks optional,
a dot in the argument's name nests it. Kinds are those of `asked`.
"""

# ruff: noqa: E501 - a template stands on one line

BLOCKS = """
plan_meeting Plan a meeting
= set up a meeting / arrange a meeting / plan a get-together / organise a meeting / fix a meeting / get a meeting going
with who_list
when.day when_day
when.time when_time?
minutes span?
online flag_online?

reserve_seats Reserve seats in a restaurant
= get us seats / find us a place to eat / reserve seats / hold a spot for dinner / grab seats / save us some seats
place.name at_company
place.area seating?
people persons
when.time when_time

send_parcel Hand in a parcel for delivery
= send a parcel / ship a box / dispatch a package / mail a parcel / get a package sent / have a box sent
to.name recipient
to.city to_city
speed speed?
grams grams?
insured flag_insured?

rent_bike Rent a bicycle
= rent a bike / hire a bicycle / get me a bike / reserve a bicycle / take out a bike / find me a rental bike
size size
minutes span
city in_city?

order_cake Order a cake
= order a cake / get a cake / have a cake made / ask for a cake / put in an order for a cake / request a cake
flavour flavour
pickup.day when_day
pickup.time when_time?
size size?
extras extras?

book_haircut Book a haircut
= book a haircut / get me a haircut / reserve a slot at the hairdresser's / fix a trim / arrange a cut / sort out a haircut
when.day when_day
when.time when_time
stylist with_person?

enroll Sign up for a course
= sign me up for a course / enrol me / put me down for lessons / register me for a class / book lessons / get me into a class
subject in_subject
level level
start when_day?
online flag_online?

plan_trip Plan a trip
= plan a trip / work out a journey / put together a tour / sketch a trip / prepare a journey / map out a tour
from from_city
to to_city
leave when_day
transport transport?
budget limit?

export_report Export a report
= export the report / save the report / produce the report / write out the report / dump the report / get the report out
format format
pages count_pages?
zip flag_zip?

resize_image Change the size of an image
= resize the image / scale the picture / change the image size / make the photo another size / rescale the picture / adjust the photo
file file
percent share
keep_copy flag_copy?

set_progress Record how far a project is
= set the progress / mark the progress / note how far we are / enter the state of the work / update the progress / log the state
project of_company
percent share

countdown Start a countdown
= start a countdown / count down / run a stopwatch backwards / set a countdown / begin a countdown / launch a countdown
seconds span_s
label labelled?

mute_chat Silence a chat
= mute the chat / silence the conversation / hush the group / quiet the chat / turn off messages / stop the pings
chat with_person
minutes span

log_sleep Record a night's sleep
= log my sleep / note how I slept / record the night / write down my night / enter my sleep / track the night
minutes span
quality quality?

log_drink Record a drink
= log a drink / note a drink / record what I drank / add a drink / enter a drink / track a drink
ml volume
kind drink

weigh_in Add an ingredient
= add an ingredient / put in an ingredient / note an ingredient / enter an ingredient / include an ingredient / list an ingredient
grams grams
name of_food

rate_film Rate a film
= rate a film / give a film a rating / score a film / judge a film / put in a rating / leave a rating
title titled
stars stars
public flag_public?

order_flowers Order flowers
= order flowers / send flowers / get a bouquet / have flowers delivered / buy a bouquet / arrange a bunch of flowers
to.name recipient
to.city in_city?
colour in_colour?
card saying?
day when_day

print_photos Print photos
= print photos / make prints / have photos printed / get prints / run off some prints / order prints
copies copies
paper paper
border flag_border?

assign_chore Give someone a household job
= assign a chore / hand out a chore / give out a job / delegate a chore / put someone on a chore / allot a chore
who for_person
chore chore
due when_day?

pay_bill Pay a bill
= pay a bill / settle a bill / clear an invoice / pay an invoice / take care of a bill / square a bill
to.company to_company
to.reference ref
cents cents
method payment?

post_message Post to a group
= post a message / publish a note / put up a post / share a post / write a post / send out a post
channel channel
text saying
at stamp?

remind_in Remind later
= remind me / give me a nudge / poke me / jog my memory / send me a reminder / alert me
at stamp
about saying

add_expense Record an expense
= add an expense / log a cost / note an expense / enter a cost / book an expense / file a cost
cents cents
category category
day past_day?
shared_with who_list?

sort_files Sort the files of a folder
= sort the files / order the folder / arrange the files / put the folder in order / line up the files / rank the files
by sortkey
descending flag_desc?
limit first_n?

buy_ticket Buy tickets for public transport
= buy tickets / get tickets / purchase tickets / grab tickets / book tickets / fetch tickets
from from_city
to to_city
passengers.count persons
passengers.fare fare?
day when_day

start_workout Start a workout
= start a workout / begin training / kick off a workout / launch a training session / get a workout going / begin a workout
kind exercise
minutes span
intensity intensity?

find_flat Search flats
= look for a flat / search flats / find me a flat / hunt for a flat / show me flats / seek a flat
city in_city
rooms rooms
furnished flag_furnished?
max_rent limit?

borrow_tool Borrow a tool from the neighbours' shed
= borrow a tool / lend me a tool / get a tool from the shed / take a tool home / sign out a tool / check out a tool
tool the_item
until when_day
note saying?
"""
