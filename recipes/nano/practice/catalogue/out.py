"""Tools for going out: maps, travel, tables, tickets, sports, money, library."""

BLOCKS = """
get_directions(from:venue, to:venue, mode:mode) Find a way
show me the way from the {from} to the {to}
~how do I get to the {to} from the {from}
take me from the {from} to the {to} by {mode}
plan a route from the {from} to the {to} by {mode}
navigate to the {to}
~directions to the {to} by {mode}
guide me to the {to}
~which way is the {to} from the {from}
route me to the {to}, {mode}

find_nearby(place:venue, radius_km:small) Find places close by
find a {place} within {radius_km} km
~is there a {place} nearby
look for the nearest {place}
~where is the closest {place}
~any {place} within {radius_km} kilometres
show me a {place} around here
locate a {place} near me
search for a {place}, at most {radius_km} km away

share_location(with:person, minutes:minutes) Share the location
share my location with {with} for {minutes}
let {with} see where I am for {minutes}
send {with} my position
~{with} should see where I am for {minutes}
show {with} my location
turn on location sharing with {with}, {minutes}
give {with} my whereabouts for {minutes}
beam my position to {with}

book_train(from:city, to:city, day:day, seats:small) Book train seats
book {seats} seats on the train from {from} to {to} on {day}
get me a train from {from} to {to} {day}
~I need {seats} train tickets {from} to {to}, {day}
reserve a train to {to} from {from} for {day}
~train {from} - {to} {day}
~we are {seats}, train from {from} to {to} on {day}
buy a rail ticket from {from} to {to} for {day}
find a seat on the {day} train to {to} from {from}

search_flights(from:city, to:city, date:date) Search flights
find flights from {from} to {to} on {date}
search for a flight {from} to {to}, {date}
~I want to fly from {from} to {to} on {date}
~any flights to {to} from {from} on {date}
look up planes from {from} to {to} {date}
~fly {from} {to} {date}
check flights to {to} on {date}, leaving {from}
show me flights {from}-{to} for {date}

book_hotel(city:city, nights:small, guests:small) Book a hotel
book a hotel in {city} for {nights} nights
find a room in {city} for {guests} people, {nights} nights
~we need somewhere to sleep in {city}, {nights} nights, {guests} of us
reserve {nights} nights in {city} for {guests}
~hotel {city}, {nights} nights
get us a room in {city} for {nights} nights
arrange a stay of {nights} nights in {city}
~{guests} guests, {nights} nights, {city}

book_table(restaurant:company, people:small, time:time) Book a table
book a table for {people} at {restaurant} at {time}
reserve at {restaurant}, {people} people, {time}
get us a table at {restaurant} for {people}, {time}
~we'd like to eat at {restaurant} at {time}, {people} of us
~table for {people}, {restaurant}, {time}
~dinner at {restaurant} at {time} for {people}
hold a table for {people} at {time} at {restaurant}
~{people} people at {restaurant}, {time}

order_taxi(pickup:address, destination:venue) Order a taxi
order a taxi from {pickup} to the {destination}
get me a cab to the {destination} from {pickup}
send a taxi to {pickup}
~I need a ride from {pickup} to the {destination}
call a cab for {pickup}, going to the {destination}
~taxi {pickup} to the {destination}
pick me up at {pickup} and take me to the {destination}
book a car from {pickup}

buy_tickets(event:title, count:small) Buy tickets
buy {count} tickets for {event}
get {count} tickets to {event}
~we want to see {event}, {count} of us
order {count} seats for {event}
~{count} for {event}, please
book me in for {event}
reserve {count} places at {event}
grab {count} tickets for {event}

track_parcel(code:code) Track a parcel
track parcel {code}
~where is my parcel {code}
check the delivery {code}
~has {code} been delivered
follow shipment {code}
find out where {code} is
~status of package {code}
look up tracking number {code}

transfer_money(to:full, amount:money) Transfer money
send {amount} to {to}
transfer {amount} to {to}
pay {to} {amount}
~I owe {to} {amount}, send it
wire {amount} to {to}
~{to} gets {amount} from me
move {amount} over to {to}
make a payment of {amount} to {to}
give {to} {amount}

get_balance(account:account) Show the balance of an account
show [me |]the balance of my {account} account
~how much is in my {account} account
check my {account} account
~what's left on the {account} account
tell me my {account} balance
~{account} balance
look at the {account} account
~am I still in the black on {account}

log_expense(amount:money, category:name) Record an expense
log {amount} for {category}
note an expense of {amount} under {category}
~I spent {amount} on {category}
record {amount}, {category}
~{amount} went on {category}
add {amount} to {category} spending
book {amount} as {category}
~paid {amount} for {category}, write it down

exchange_rate(from:currency, to:currency) Show an exchange rate
show the rate from {from} to {to}
~what is {from} in {to} [today|right now]
~how does {from} stand against {to}
look up {from}/{to}
get the exchange rate {from} to {to}
check {from} against {to}
~{from} to {to} rate
tell me what one {from} is in {to}

log_run(distance_km:decimal, minutes:minutes) Log a run
log a run of {distance_km} km in {minutes}
~I ran {distance_km} km in {minutes}
record {distance_km} kilometres, {minutes}
~went running, {distance_km} km, {minutes}
add a {distance_km} km run to my log
~today's run: {distance_km} km in {minutes}
save my run, {distance_km} km
~{distance_km} k in {minutes}, log that

log_workout(exercise:sport, sets:small, reps:count) Log an exercise
log {sets} sets of {reps} {exercise}
~I did {sets} times {reps} {exercise}
record {exercise}, {sets} sets, {reps} each
~{exercise}: {sets} x {reps}
add {sets} rounds of {reps} {exercise}
note {sets} sets of {exercise} at {reps} reps
~just finished {sets} sets of {reps} {exercise}
put down {reps} {exercise}, {sets} sets

set_goal(activity:sport, target:count) Set a sports goal
set a goal of {target} {activity} [a week|per week]
~I want to do {target} {activity} every week
make {target} {activity} my goal
aim for {target} {activity}
change the {activity} goal to {target}
~my new target is {target} {activity}
raise {activity} to {target}
~goal: {target} {activity}

log_weight(kg:decimal) Record body weight
log my weight, {kg} kg
~I weigh {kg} kg [today|now]
record {kg} kilos
~weight {kg}
note {kg} kg on the scale
put me down at {kg} kg
~the scale says {kg}
enter {kg} kilograms as my weight

reserve_book(title:title, author:full) Reserve a library book
reserve {title} by {author}
put {title} on hold for me
~I'd like to borrow {title} by {author}
hold {title} at the library
~can I get {title} from {author}
request the book {title}
order {title} by {author} from the stacks
set aside {title}

renew_loan(title:title, days:small) Renew a library loan
renew {title} for {days} days
extend my loan of {title}
~I need {title} for {days} more days
keep {title} {days} days longer
prolong {title} by {days} days
~not done with {title}, renew it
give me {days} more days with {title}
lengthen the loan on {title}

search_catalogue(author:full, subject:subject) Search the library catalogue
search for books by {author} on {subject}
~what do you have on {subject}
find something about {subject} by {author}
list titles by {author}
~any books on {subject}
look in the catalogue for {author}
show books about {subject}
~do you have {author} on {subject}

check_traffic(road:street) Show the traffic on a road
check the traffic on {road}
~how is {road} [right now|at the moment]
~is {road} jammed
look at {road}, any jams
tell me if {road} is clear
~traffic on {road}
report on {road}
~is there a hold-up on {road}

find_parking(near:venue, hours:small) Find parking
find parking near the {near} for {hours} hours
~where can I park by the {near}
look for a parking space at the {near}
~I need to park {hours} hours close to the {near}
get me a spot by the {near}, {hours} hours
~parking at the {near}
search for somewhere to leave the car near the {near}
reserve {hours} hours of parking at the {near}
"""
