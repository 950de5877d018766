"""Tools of a day: calendar, reminders, messages, notes, lists, music, weather, sums."""

BLOCKS = """
set_reminder(text:task, time:time) Set a reminder
[remind|nudge] me to {text} at {time}
set a reminder for {time} to {text}
~at {time} I have to {text}, [remind me|don't let me forget]
~reminder {time}: {text}
make sure I {text} at {time}
~don't let me forget to {text} at {time}
ping me at {time}, I must {text}
~{time} {text} reminder
put in a reminder: {text}, {time}
tell me at {time} that I need to {text}

add_event(title:name, day:day, time:time) Add an event to the calendar
put {title} in my calendar for {day} at {time}
add {title} on {day} at {time}
schedule {title} for {time} on {day}
~{title} is on {day} at {time}, [note it|add it]
book {title} {day} {time}
enter {title} in the diary, {day}, {time}
~new event: {title}, {day} at {time}
pencil in {title} for {day}
~calendar: {title} {day} {time}

cancel_event(title:name, day:day) Remove an event from the calendar
cancel {title} on {day}
take {title} off my calendar for {day}
delete the event {title}
~{title} on {day} is not happening, remove it
scrap {title} [on|this] {day}
~no more {title} on {day}, cancel it
drop {title} from {day}
call off {title}
remove {title} from {day}

list_events(day:day) List the events of a day
show me what is on [for|on] {day}
list my events for {day}
~what's in my calendar on {day}
~what have I got on {day}
~am I busy on {day}
read out my appointments for {day}
~anything planned for {day}
open my schedule for {day}
~what does {day} look like

move_event(title:name, day:day, time:time) Move an event
move {title} to {day} at {time}
push {title} to {time} on {day}
reschedule {title} for {day}, {time}
~{title} is now on {day} at {time}, change it
shift {title} to {day}
change {title} to {time} {day}
~{title}: new time {time}, {day}
put {title} on {day} at {time} instead

send_message(to:person, text:quote) Send a text message
text {to} "{text}"
send {to} a message: {text}
message {to} saying {text}
tell {to} {text}
write to {to}: {text}
let {to} know: {text}
~message for {to}: {text}
drop {to} a line, {text}
send "{text}" to {to}
~to {to}: {text}

call(contact:person) Call a contact
call {contact}
ring {contact}
phone {contact}
give {contact} a [ring|call]
dial {contact}
get {contact} on the [phone|line]
~I want to [talk|speak] to {contact}
start a call with {contact}
put me through to {contact}
~time to call {contact}

send_email(to:email, subject:name, body:quote) Send an email
email {to} about {subject}: {body}
send an email to {to}, subject {subject}, saying {body}
write {to} a mail with the subject {subject} and the text {body}
~mail to {to}: {subject}. {body}
compose a mail, {to}, {subject}, {body}
~new mail, to {to}, subject: {subject}, body: {body}
drop {to} an email titled {subject}: {body}
forward "{body}" to {to} with the subject {subject}
mail {to} [re|regarding] {subject}, body {body}

search_mail(query:name, sender:person) Search the mailbox
find mails about {query} from {sender}
search my inbox for {query}
look for a mail from {sender} about {query}
~did {sender} write about {query}
show mails on {query}
~any mail about {query} from {sender}
dig up the email on {query}
~where is the mail about {query}

create_note(text:text) Save a note
note: {text}
take a note: {text}
write down {text}
jot down {text}
save a note saying {text}
~new note, {text}
add to my notes: {text}
remember this: {text}
make a note that says {text}
put this in my notes: {text}

search_notes(query:name) Search the notes
find my note about {query}
search notes for {query}
look up what I wrote about {query}
~where is my note on {query}
~what did I note about {query}
go through my notes for {query}
open the note on {query}
show notes mentioning {query}

add_item(list:name, item:food, quantity:small) Add an item to a list
add {quantity} {item} to the {list} list
put {item} on my {list} list
~{list} list: {quantity} {item}
~we need {item} on the {list} list
write {item} on the {list} list
include {quantity} {item} in {list}
note {item} under {list}
add {item} to {list}
~{quantity} more {item} for the {list} list

add_to_shopping_list(items:foods) Add things to the shopping list
add {items} to the shopping list
put {items} on the shopping list
~we are out of {items}
~shopping: {items}
buy {items}
~I need {items} from the shop
note {items} for the shop
get {items} next time
~we've run out of {items}, [list them|put that down]
write {items} on the grocery list

remove_from_list(item:food) Remove an item from the shopping list
take {item} off the [shopping |]list
remove {item}
cross off {item}
~I already have {item}, strike it
delete {item} from the list
~we don't need {item} any more
scratch {item}
~no {item} after all

set_timer(seconds:seconds, label:name) Start a countdown timer
set a timer for {seconds}
start a {label} timer, {seconds}
count down {seconds}
~timer {seconds}
time {seconds} for {label}
begin a countdown of {seconds} called {label}
~{seconds} on the clock, please
give me {seconds} on the timer
set {seconds} for the {label}

set_alarm(time:time, day:day) Set an alarm
wake me [up |]at {time}
set an alarm for {time}
~alarm {day} {time}
set my alarm to {time} on {day}
~I need to be up at {time} on {day}
get me up at {time}
make the alarm ring at {time}
~alarm at {time}
~wake-up call {day} {time}

stop_timer(label:name) Stop a timer
stop the {label} timer
cancel the timer for {label}
turn off the {label} countdown
~enough, end the {label} timer
kill the {label} timer
silence the timer called {label}
~{label} timer off
halt the {label} timer

play_music(genre:genre) Play music of a genre
play some {genre}
put on {genre}
~I'm in the mood for {genre}
~let's hear {genre}
start a {genre} playlist
~{genre}, please
spin some {genre} for us
~how about a bit of {genre}
find me {genre} to listen to

play_song(title:title, artist:full) Play a song
play {title} by {artist}
put on {title} from {artist}
~I want to hear {title} by {artist}
start {title}
queue {title} by {artist}
~that song {title}, from {artist}, play it
find and play {title} by {artist}
~{artist}, {title}

set_volume(level:percent) Set the volume
set the volume to {level}
turn it [up|down] to {level}
~volume {level}
make it {level} loud
bring the sound to {level}
put the volume at {level}
~sound level {level}, please
change the loudness to {level}

get_weather(city:city, day:day) Weather forecast
~what's the weather [like |]in {city}
~will it rain in {city} on {day}
check the weather for {city}
tell me the forecast for {city} on {day}
~how [warm|cold] is it in {city} {day}
~do I need an umbrella in {city} on {day}
~{city} weather {day}
look up the weather in {city}
~is it sunny in {city}
~forecast {city} {day}

calculate(expression:sum) Work out an expression
work out {expression}
~what is {expression}
calculate {expression}
~how much is {expression}
compute {expression}
~{expression} = ?
~I need the result of {expression}
do the sum {expression}
~{expression} makes what

convert(amount:decimal, from:unit, to:unit2) Convert a quantity
convert {amount} {from} to {to}
~how many {to} [are|in] {amount} {from}
~{amount} {from} in {to}
turn {amount} {from} into {to}
~what is {amount} {from} in {to}
change {amount} {from} to {to}
express {amount} {from} in {to}
give me {amount} {from} as {to}

add_contact(name:full, phone:phone) Save a contact
save {name} with the number {phone}
add {name}, {phone}, to my contacts
~new contact: {name} {phone}
store {phone} as {name}
~{name}'s number is {phone}, save it
put {name} in the address book under {phone}
create a contact for {name}: {phone}
keep {phone} for {name}

find_contact(name:full) Look up a contact
find {name} in my contacts
look up {name}
~what is {name}'s number
show me the details of {name}
~do I have {name}'s number
open the contact {name}
get me {name}'s contact details
~how can I reach {name}

translate(text:quote, language:language) Translate a text
translate "{text}" into {language}
~how do you say "{text}" in {language}
~what is "{text}" in {language}
put "{text}" into {language}
say "{text}" in {language}
~{language} for "{text}"
give me the {language} for "{text}"
turn this into {language}: {text}

define(word:name) Explain a word
define {word}
~what does {word} mean
look up {word} in the dictionary
explain the word {word}
~meaning of {word}
tell me what {word} is
~what's the definition of {word}
give a definition of {word}
"""
