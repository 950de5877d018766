"""Tools for work and hobbies: plants, pets, warehouse, printing, camera, kitchen, files, school, garage."""

BLOCKS = """
water_plant(plant:plant, ml:big) Water a plant
water the {plant} with {ml} ml
give the {plant} {ml} millilitres
~the {plant} need water
pour {ml} ml on the {plant}
~{plant}: {ml} ml
see to the {plant}, {ml} ml of water
~time to water the {plant}
let the {plant} have {ml} ml

log_fertilizer(plant:plant, day:day) Record that a plant was fed
note that I fed the {plant} on {day}
~I fertilized the {plant} {day}
record plant food for the {plant}, {day}
~the {plant} got fertilizer on {day}
log feeding the {plant}
~fed the {plant} on {day}
mark the {plant} as fed {day}
write down fertilizer for the {plant}

feed_pet(pet:pet, grams:count) Dispense pet food
feed {pet} {grams} grams
give {pet} {grams} g of food
~{pet} is hungry
let {pet} have {grams} grams
~{grams} grams for {pet}
serve {pet} dinner, {grams} g
put out food for {pet}
fill {pet}'s bowl with {grams} grams

book_vet(pet:pet, day:day, reason:ill) Book a vet
book the vet for {pet} on {day}
~{pet} has a {reason}, get a vet for {day}
make a vet appointment for {pet}, {day}
~vet for {pet} on {day}: {reason}
take {pet} to the vet on {day} because of a {reason}
arrange for {pet} to be seen {day}
~{pet} needs the vet {day}
get {pet} looked at on {day}, {reason}

log_walk(pet:pet, minutes:minutes) Record a walk with a pet
log a walk with {pet}, {minutes}
~{pet} and I walked {minutes}
record {minutes} out with {pet}
~took {pet} out for {minutes}
note {pet}'s walk: {minutes}
~walked {pet}, {minutes}
add {minutes} of walking for {pet}
save a {minutes} walk for {pet}

move_stock(item:item, quantity:count, shelf:code) Move stock to a shelf
move {quantity} of the {item} to {shelf}
put {quantity} {item} on shelf {shelf}
~{quantity} {item} go to {shelf}
transfer {quantity} pieces of {item} to {shelf}
~shelf {shelf}: {quantity} {item}
take {quantity} {item} over to {shelf}
relocate {quantity} {item}, new place {shelf}
bring {quantity} {item} to {shelf}

count_stock(item:item) Count what is in stock
count the {item}
~how many {item} are left
check stock for {item}
~do we still have {item}
tell me how much {item} there is
~stock of {item}
look how many {item} are on the shelf
give me the number of {item}

reorder(item:item, quantity:count, supplier:company) Order new stock
order {quantity} {item} from {supplier}
reorder {item}, {quantity} pieces
~we need {quantity} more {item} from {supplier}
get {quantity} {item} from {supplier}
~out of {item}, order {quantity}
restock {quantity} {item}
ask {supplier} for {quantity} {item}
~{supplier}: {quantity} {item}

ship_order(order:code, carrier:company) Ship an order
ship {order} with {carrier}
send out {order}
~{order} can go, {carrier} takes it
hand {order} to {carrier}
dispatch order {order} via {carrier}
~{order} is packed, ship it
mail out {order} through {carrier}
release {order} for shipping

print_file(file:path, copies:small) Print a file
print {file}
print {copies} copies of {file}
~I need {file} on paper, {copies} times
run off {copies} of {file}
send {file} to the printer
~{copies} x {file}
make {copies} prints of {file}
put {file} on paper

scan_document(name:path, pages:small) Scan a document
scan {pages} pages to {name}
scan this as {name}
~{pages} pages, save them as {name}
make a scan called {name}
digitise {pages} pages into {name}
~scan: {name}
read in {pages} sheets as {name}
store the scan under {name}

take_photo(mode:photo, delay:small) Take a photo
take a {mode} photo
take a {mode} picture in {delay} seconds
snap a {mode} shot after {delay} seconds
~a {mode} photo, please
shoot in {mode} mode
~{mode} picture, {delay} second delay
get a {mode} shot of us
wait {delay} seconds and take a {mode} photo

record_video(seconds:seconds, file:path) Record a video
record {seconds} of video
film for {seconds} and save it as {file}
~video, {seconds}, {file}
shoot {seconds} into {file}
make a clip of {seconds}
capture {seconds} of video to {file}
start filming, stop after {seconds}
take a {seconds} video called {file}

find_recipe(ingredients:foods, servings:small) Find a recipe
find a recipe with {ingredients}
~what can I cook with {ingredients}
~I have {ingredients}, what now
suggest a dish for {servings} with {ingredients}
look for something using {ingredients} for {servings} people
~dinner for {servings} from {ingredients}
give me a recipe, {ingredients}
show meals with {ingredients}

scale_recipe(dish:food, servings:count) Change the servings of a recipe
scale {dish} to {servings} servings
make the {dish} recipe for {servings} people
~{dish} for {servings}
change {dish} to serve {servings}
~we are {servings} tonight, adjust the {dish}
recalculate {dish} for {servings}
turn the {dish} into {servings} portions
resize {dish}, {servings} portions

log_meal(food:food, calories:big) Record a meal
log {food}, {calories} calories
~I had {food}
~ate {food}, {calories} kcal
record {food} with {calories} calories
note a meal: {food}
~{food} for {calories} calories
put down {food}
add {food} at {calories} kcal

rename_file(old:path, new:path) Rename a file
rename {old} to {new}
call {old} {new} [from now on|instead]
change the name of {old} to {new}
~{old} should be {new}
give {old} the name {new}
make {old} into {new}
~{old} -> {new}
set the name of {old} to {new}

delete_file(file:path) Delete a file
delete {file}
remove the file {file}
get rid of {file}
~I don't need {file} any more
throw away {file}
erase {file}
bin {file}
~{file} can go

share_file(file:path, with:email) Share a file
share {file} with {with}
send {file} to {with}
give {with} access to {file}
~{with} needs {file}
let {with} see {file}
~{file} for {with}
open {file} up to {with}
pass {file} on to {with}

open_page(url:url) Open a web page
open {url}
go to {url}
show me {url}
load {url}
visit {url}
~{url} please
bring up {url}
take me to {url}

create_task(title:task, assignee:full, due:date) Create a task
create a task for {assignee}: {title}, due {due}
~{assignee} has to {title} by {due}
assign "{title}" to {assignee}
add a task: {title}, due {due}
~task for {assignee}: {title}
give {assignee} the job to {title} until {due}
put {assignee} down to {title} by {due}
open a task to {title}

log_hours(project:company, hours:decimal) Record working hours
log {hours} hours on {project}
~I worked {hours} hours for {project}
book {hours} h to {project}
put {hours} hours on {project}
~{project}: {hours} hours
record {hours} hours of work for {project}
~spent {hours} hours on {project} [today|]
add {hours} h under {project}

request_leave(from:date, to:date, reason:text) Ask for days off
ask for leave from {from} to {to}
request time off {from} to {to}, reason: {reason}
~I'd like to be off from {from} to {to}
book holiday from {from} until {to}
~away {from} to {to} because: {reason}
apply for leave, {from} to {to}
put in for days off between {from} and {to}
~vacation {from} to {to}

invoice(client:company, amount:money, item:name) Write an invoice
write an invoice to {client} for {amount}
bill {client} {amount} for {item}
~{client} owes us {amount} for {item}, invoice it
charge {client} {amount}
make out a bill, {client}, {amount}, {item}
~invoice {client} {amount} {item}
send {client} an invoice over {amount} for {item}
issue an invoice for {amount} to {client}

make_flashcard(front:name, back:quote) Make a flash card
make a flash card: {front} / {back}
put "{front}" on the front and "{back}" on the back
~new card, front {front}, back {back}
add a card asking {front}, answer {back}
create a card with {front} and {back}
~card: {front} = {back}
store {front} with the answer {back}
write a card for {front} that says {back}

start_lesson(subject:subject, minutes:minutes) Start a lesson
start a {subject} lesson
begin {minutes} of {subject}
~I want to practise {subject} for {minutes}
teach me {subject} for {minutes}
~{subject}, {minutes}
let us do {minutes} of {subject}
open the {subject} course
run a {subject} session of {minutes}

record_grade(student:full, subject:subject, points:count) Record a mark
give {student} {points} points in {subject}
record {points} for {student} in {subject}
~{student} got {points} in {subject}
enter {subject}, {student}, {points} points
~{student}: {subject} {points}
put {student} down for {points} points in {subject}
note {points} points, {subject}, {student}
mark {student} with {points} in {subject}

log_fuel(litres:decimal, price:money) Record fuel
log {litres} litres for {price}
~I filled up {litres} litres, {price}
record fuel: {litres} l, {price}
~tanked {litres} litres
note {litres} litres of petrol at {price}
~fuel {litres} l {price}
add a fill-up, {litres} litres
put down {litres} litres for {price}

book_service(vehicle:code, garage:company, day:day) Book a garage appointment
book {vehicle} into {garage} on {day}
take {vehicle} to {garage} {day}
~{vehicle} needs a service at {garage} on {day}
arrange a check of {vehicle} for {day}
~service for {vehicle}: {garage}, {day}
get {vehicle} seen at {garage} on {day}
make an appointment at {garage} for {vehicle}, {day}
put {vehicle} in for {day} at {garage}

book_room(room:room, day:day, people:count) Book a room at work
book the {room} for {people} on {day}
reserve the {room} {day}
~we need the {room} on {day}, {people} people
get the {room} for {day}
~{room} {day} for {people}
hold the {room} on {day}
put us in the {room} on {day}, {people} of us
block the {room} for {people} people, {day}

start_poll(question:quote, options:foods) Start a poll
start a poll: {question}? {options}
ask the group "{question}" with the choices {options}
make a vote on {question}, options {options}
~poll {question}: {options}
let them vote, {question}, between {options}
put {question} to a vote: {options}
open a poll with {options}, titled {question}
~vote: {question}, {options}

book_doctor(doctor:full, day:day, reason:ill) Book a doctor
book doctor {doctor} for {day}
~I have a {reason}, get me an appointment with {doctor} on {day}
make an appointment with {doctor} on {day} about a {reason}
~{doctor}, {day}, {reason}
see if {doctor} has time on {day}
~need to see {doctor} about my {reason}
arrange {day} with {doctor}
put me in with {doctor} {day}

log_medicine(name:name, mg:big) Record a medicine taken
log {mg} mg of {name}
~I took {mg} milligrams of {name}
record {name}, {mg} mg
~took {name}
note {mg} mg {name}
~{name} {mg} mg taken
put down {name}, {mg} milligrams
enter {mg} mg of {name}
"""
